"""README.md says of the models what their cards say."""

from __future__ import annotations

from restore_batch.pipeline.cli import model_table

from support.data import ROOT


def test_the_table_of_models_is_that_of_the_cards() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    _, _, rest = readme.partition("<!-- models -->\n")
    written, end, _ = rest.partition("\n<!-- /models -->")
    assert end, "README.md has no block between <!-- models --> and <!-- /models -->"
    # `restore-batch models list --markdown` prints what belongs there.
    assert written == model_table.markdown(model_table.cards())


def test_every_line_of_the_table_marks_what_is_not_for_commercial_use() -> None:
    lines = {
        line.split("`")[1]: line
        for line in model_table.markdown(model_table.cards()).splitlines()[2:]
    }
    for card in model_table.cards():
        assert ("non-commercial" in lines[card.name]) >= (not card.licence.commercial)
    assert "non-commercial parts" in lines["gfpgan-1.4"]
