"""Every corpus in the files that the tasks expect, a few short real or made texts each."""

from __future__ import annotations

import pathlib

import pytest

HERE = pathlib.Path(__file__).parent
THIRD_PARTY = (
    "ignore:.*:DeprecationWarning",
    "ignore:.*:PendingDeprecationWarning",
    "ignore:.*:FutureWarning",
    "ignore:.*:ResourceWarning",
)
"""TensorFlow's and SeqIO's own, which they emit on import and while they run."""

CONLLUA = """\
# global.columns = ID FORM LEMMA UPOS XPOS FEATS HEAD DEPREL DEPS MISC IDENTITY BRIDGING
# newdoc id = light_1
# sent_id = light_1-1
# speaker = knight
1\tthe\t_\t_\t_\t_\t_\t_\t_\t_\t(EntityID=1|MarkableID=m1|Min=2|SemType=dn\t_
2\tdog\t_\t_\t_\t_\t_\t_\t_\t_\t)\t_
3\tsaw\t_\t_\t_\t_\t_\t_\t_\t_\t_\t_
4\tAnna\t_\t_\t_\t_\t_\t_\t_\t_\t(EntityID=2|MarkableID=m2(EntityID=3|MarkableID=m3)\t_
5\t's\t_\t_\t_\t_\t_\t_\t_\t_\t_\t_
6\tcat\t_\t_\t_\t_\t_\t_\t_\t_\t)\t_
# sent_id = light_1-2
# speaker = queen
7\tit\t_\t_\t_\t_\t_\t_\t_\t_\t(EntityID=4-Pseudo|MarkableID=m4)\t_
8\tsaw\t_\t_\t_\t_\t_\t_\t_\t_\t_\t_
8.1\t_\t_\t_\t_\t_\t_\t_\t_\t_\t(EntityID=1|MarkableID=m5)\t_
9\thim\t_\t_\t_\t_\t_\t_\t_\t_\t(EntityID=1|MarkableID=m6)\t_
"""
"""Two sentences; nested markables, one that does not refer and a zero."""


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(HERE):
            for warning in THIRD_PARTY:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A data folder with every corpus, in its own format, and a tokenizer."""
    from t5coref.core.document import Annotation, Document, Relation
    from t5coref.corpora import conll2012, conllu, docred, litbank, preco
    from t5coref.tokenizer import Tokenizer

    root = tmp_path_factory.mktemp("data")
    documents = [
        Document(
            doc_id=f"text_{i}",
            words=("the", "dog", "saw", "Anna", "'s", "cat", ".", "it", "saw", "her", "."),
            sentences=((0, 7), (7, 11)),
            speakers=("Ann",) * 7 + ("Ben",) * 4,
            annotation=Annotation(
                (((0, 2), (7, 8)), ((3, 4), (9, 10)), *[((3, 6),)] * with_single)
            ),
        )
        for i, with_single in enumerate((True, False, True))
    ]
    pairs = [d for d in documents if all(len(c) > 1 for c in d.annotation.clusters)]

    related = [
        document.with_annotation(
            Annotation(
                document.annotation.clusters,
                (Relation(0, 1, "P17"), Relation(1, 0, "P6")),
                types=("MISC", "PER"),
            )
        )
        for document in pairs
    ]

    def place(name):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    for split in ("train", "dev", "test"):
        conll2012.write(pairs, place(f"ontonotes/{split}.english.v4_gold_conll"))
        preco.write(documents, place(f"preco/{split}.jsonl"))
        conllu.write(documents, place(f"gum/{split}/GUM_text.conllu"))
        conllu.write(pairs, place(f"ontogum/{split}/GUM_text.conllu"))
        conllu.write(documents, place(f"corefud/CorefUD_English-GUM/en_gum-corefud-{split}.conllu"))
        docred.write(related, place(f"redocred/{split}_revised.json"))
        place(f"codicrac/{split}/light.CONLLUA").write_text(CONLLUA, encoding="utf-8")
    place("redocred/rel_info.json").write_text('{"P6": "head of government", "P17": "country"}')
    for document in documents:
        litbank.write([document], place(f"litbank/conll/{document.doc_id}.conll"))
    for fold in range(10):
        for i, split in enumerate(("train", "dev", "test")):
            name = documents[(fold + i) % 3].doc_id
            place(f"litbank/splits/{fold}/{split}.ids").write_text(f"{name}\n")
    text = ["the dog saw it and she saw him", "Anna gave Ben 's cat to her ."]
    marks = "coref: wb | _ ** ## -> ;; [0 ] None [+ E] ?"
    Tokenizer.train([*text, marks], 80).save(root)
    return root


@pytest.fixture
def environment(data, monkeypatch):
    """Names the data folder and its tokenizer."""
    monkeypatch.setenv("T5COREF_DATA", str(data))
    monkeypatch.setenv("T5COREF_TOKENIZER", str(data))
    monkeypatch.delenv("T5COREF_PREPARED", raising=False)
