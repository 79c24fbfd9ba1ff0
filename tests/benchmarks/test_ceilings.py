"""What benchmarks/ceilings.py counts."""

from __future__ import annotations

import ceilings
import pytest
import walks
from formats import document
from strategies import UNLIKE


def test_lost_mentions_and_divided_clusters(tokenizer):
    words = " ".join(UNLIKE[:20])
    crossing = document(words, [[(0, 2), (5, 6)], [(1, 3), (8, 9)]])
    wide = walks.make(tokenizer, "full-copy", window=400)
    found = ceilings.measure(wide, [crossing])
    assert (found.lost, found.divided) == (1, 0)
    assert found.conll < 1
    far = document(words, [[(0, 1), (19, 20)], [(3, 4)]], [(i, i + 5) for i in range(0, 20, 5)])
    assert ceilings.measure(wide, [far, far]) == (1.0, 0, 0)
    found = ceilings.measure(walks.make(tokenizer, "full-copy", window=40), [far, far])
    assert (found.lost, found.divided) == (0, 2)
    assert ceilings.across_sentences([crossing, far]) == 0
    across = document(words, [[(4, 6), (5, 6)], [(0, 11)]], far.sentences)
    assert ceilings.across_sentences([across, far]) == 2


def test_tables(tokenizer, capsys, tmp_path):
    columns = [ceilings.Corpus("C", 2048, [document("the dog", [[(0, 2)]])])]
    found = {name: [ceilings.Ceiling(1.0, 0, 0)] for name in ("full-copy", "partial")}
    found["partial-unmarked"] = [ceilings.Ceiling(0.5, 1, 2)]
    assert "| partial-unmarked | 50.00, 1 |" in ceilings.table(columns, found)
    assert "| C, 2,048 | 1 | 1 | 1 | 0 | 0 | 0 | 1 | 0 | 0 | 2 |" in ceilings.causes(columns, found)
    assert ceilings.read(tmp_path, None) == {}
    assert "no LitBank" in capsys.readouterr().err


def test_no_corpora(tmp_path, monkeypatch, tokenizer):
    tokenizer.save(tmp_path)
    monkeypatch.setattr(
        "sys.argv", ["ceilings", "--data", str(tmp_path), "--tokenizer", str(tmp_path)]
    )
    with pytest.raises(SystemExit, match="set T5COREF_SHARED"):
        ceilings.main()
