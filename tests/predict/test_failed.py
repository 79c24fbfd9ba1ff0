"""A document that cannot be predicted says nothing of its old annotation."""

from __future__ import annotations

from t5coref.core.document import Annotation
from t5coref.corpora import conllu
from t5coref.predict import failed


def test_it_can_be_written_where_its_corpus_knew_more(tmp_path):
    path = tmp_path / "x.conllu"
    path.write_text("# global.Entity = eid-head\n1\ta" + "\t_" * 7 + "\tEntity=(e1-1)\n", "utf-8")
    (document,) = conllu.read(path)
    broken = failed(document, ValueError("too long"))
    assert broken.annotation == Annotation()
    assert broken.extra == {"error": "too long"}
    assert "Entity=" not in conllu.dumps(broken)
