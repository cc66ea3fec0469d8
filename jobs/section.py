"""The base of all sections of the job schema, and what several of them keep to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo, model_validator


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


def fits_output(value: Any, info: ValidationInfo) -> Any:
    """An option of a job that not every ``output`` allows; raises ValueError where it does not."""
    is_store = isinstance(info.data.get("output"), str)
    compares = bool(getattr(value, "compare", False))
    if is_store and (compares or getattr(value, "output", "") == "frames"):
        raise ValueError("a comparison, or a film as frames, needs a local folder for `output`")
    if isinstance(value, Path) and not is_store:
        raise ValueError("what is on record lies in a local output itself: remove state")
    return value
