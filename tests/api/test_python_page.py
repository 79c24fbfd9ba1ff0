"""Every block of docs/python.md runs, in the order of the page."""

from __future__ import annotations

import doctest
import pathlib
import re

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "python.md"
BLOCK = re.compile(r"^```(python|pycon)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_blocks_of_the_page(model_folder, monkeypatch, capsys):
    from t5coref import released
    from t5coref.api import spacy_component

    assert spacy_component  # its import stands for the entry point
    monkeypatch.setattr(released, "default_model", lambda: model_folder)
    text = PAGE.read_text("utf-8")
    names: dict[str, object] = {}
    blocks = list(BLOCK.finditer(text))
    assert {kind for kind, _ in (block.groups() for block in blocks)} == {"python", "pycon"}
    runner = doctest.DocTestRunner(verbose=False)
    for block in blocks:
        kind, code = block.groups()
        line = text.count("\n", 0, block.start()) + 1
        if kind == "python":
            exec(compile("\n" * line + code, str(PAGE), "exec"), names)
        else:
            example = doctest.DocTestParser().get_doctest(code, names, "page", str(PAGE), line)
            failed, tried = runner.run(example, out=lambda report: None, clear_globs=False)
            assert tried
            assert not failed, f"block at line {line}"
            names |= example.globs
    assert capsys.readouterr().out
