"""Tables and the sections of docs/results.md."""

from __future__ import annotations

import pytest
import report

TEXT = "# Results\n\n<!-- bench:one -->\nold\n<!-- /bench:one -->\n\n<!-- bench:two --><!-- /bench:two -->\n"  # noqa: E501


def test_table():
    assert report.table(("a", "b"), [(1, "x"), (2, "y")]) == (
        "| a | b |\n| --- | --- |\n| 1 | x |\n| 2 | y |\n"
    )


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "-"),
        (0, "0"),
        (0.0123, "0.012"),
        (1.234, "1.23"),
        (12.34, "12.3"),
        (12345.6, "12,346"),
    ],
)
def test_numbers_are_short(value, written):
    assert report.number(value) == written


def test_a_section_is_replaced_and_nothing_else():
    changed = report.replace_section(TEXT, "one", "new \\1\n")
    assert "<!-- bench:one -->\n\nnew \\1\n\n<!-- /bench:one -->" in changed
    assert "old" not in changed
    assert changed.endswith(TEXT[TEXT.index("\n\n<!-- bench:two") :])
    assert report.replace_section(changed, "one", "new \\1") == changed
    # A code block keeps its indent.
    assert "\n\n    make\n\n" in report.replace_section(TEXT, "one", "\n    make\n")


@pytest.mark.parametrize("text", ["", TEXT + TEXT, "<!-- /bench:one --><!-- bench:one -->"])
def test_a_section_that_is_not_there_once(text):
    with pytest.raises(ValueError, match="expected the line '<!-- bench:one -->' once"):
        report.replace_section(text, "one", "new")


@pytest.mark.parametrize("name", ["ceilings", "decode", "joint-ie", "linearize", "train-step"])
def test_results_have_the_sections(name):
    text = report.RESULTS.read_text("utf-8")
    assert "new" in report.replace_section(text, name, "new")
