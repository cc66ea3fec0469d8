"""The base of all sections of the job schema."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator


def none_is_empty(value: Any) -> Any:
    # A section whose lines are all commented out is null in YAML.
    return {} if value is None else value


Options = Annotated[dict[str, Any], BeforeValidator(none_is_empty)]
"""A mapping of options that the schema does not know; a section left empty is an empty one."""


class Section(BaseModel):
    """Base of all sections: unknown options are mistakes, and nothing is converted silently."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_means_defaults(cls, value: Any) -> Any:
        return none_is_empty(value)

    def in_key(self) -> Any:
        """What results depend on of it, as plain data for their key."""
        return self.model_dump(mode="json")
