"""The published implementation's targets, and round trips of real corpora."""

from __future__ import annotations

import json

import numpy as np
import pytest
from formats import NAMES, PARTIAL, WHOLE

from t5coref import corpora
from t5coref.core.document import crosses
from t5coref.linearize import FORMATS, examples, get, round_trip
from t5coref.tokenizer import Tokenizer

SAMPLES = "format_samples/allennlp-models_Apache2/coref"
INPUTS = {
    "litbank_dev": ("litbank", "reference_seq2seq/linearization/litbank_dev.input.conll"),
    "ontonotes_sample": ("conll2012", f"{SAMPLES}/coref.gold_conll"),
    "preco_sample": ("preco", f"{SAMPLES}/preco.jsonl"),
}
FIELDS = {
    # format: what is scored, what is read back
    "full-copy": ("target_action", "target_sentence"),
    "full-token": ("target_sentence", "target_sentence"),
    "input-feed": ("target_action", "target_sentence"),
    "tagging": ("target_action", "target_action"),
    "integer-free": ("target_non_int_action", "target_non_int_sentence"),
    "integer-free-end": (
        "target_non_int_mention_end_action", "target_non_int_mention_end_sentence",
    ),
    "partial": ("target_short_sentence", "target_short_sentence"),
    "partial-unmarked": ("target_short_sentence", "target_short_sentence"),
}  # fmt: skip


@pytest.fixture(scope="module")
def t5(shared):
    """Tokenizers of the formats with T5's vocabulary."""
    model = (shared / "data/t5/spiece.model").read_bytes()
    return {name: Tokenizer(model, FORMATS[name].symbols) for name in NAMES}


# Targets with sentence marks were published for windows of 2048 pieces only.
CASES = [
    (name, sample, window)
    for name in FIELDS for sample in INPUTS for window in (512, 2048)
    if name != "partial" or window == 2048
]  # fmt: skip


@pytest.mark.parametrize(("name", "sample", "window"), CASES)
def test_published_targets_come_out(shared, t5, name, sample, window):
    marked = ".marked" if name == "partial" else ""
    path = shared / f"data/reference_seq2seq/linearization/{sample}{marked}.{window}.jsonl"
    tokenizer = t5[name].with_word_rule("reference")
    lin = get(name, tokenizer, window=window, suffixes=True, constraint="reference")
    corpus, source = INPUTS[sample]
    docs = corpora.read(shared / "data" / source, format=corpus)
    ours = [e for doc in docs for e in examples(lin, doc)]
    theirs = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert len(ours) == len(theirs)
    for example, row in zip(ours, theirs, strict=True):
        actions, feeds = (row[field] for field in FIELDS[name])
        if name == "tagging":
            # The published actions end with a copy; what is scored there is the end itself.
            actions = feeds = [*actions[:-1], "</s>"]
        fed = example.feeds
        if name == "input-feed":
            np.testing.assert_array_equal(fed[:, 1], example.actions)
            fed = fed[:, 0]
        rows = example.turn.source, example.actions, fed
        got = [[tokenizer.piece(int(t)) for t in tokens] for tokens in rows]
        assert got == [row["sentence"], actions, feeds]
        assert example.turn.offset == row["offset"]


REAL = [
    ("litbank", "litbank/conll/*.conll"),
    ("conllu", "ontogum/*/*.conllu"),
    ("conllu", "gum/*/*.conllu"),
]


def documents(shared, corpus, pattern, step):
    paths = sorted((shared / "data").glob(pattern))[::step]
    assert paths
    for path in paths:
        yield from corpora.read(path, format=corpus)


@pytest.mark.parametrize("window", [512, 2048])
@pytest.mark.parametrize(("corpus", "pattern"), REAL)
def test_only_what_crosses_or_fits_no_window_is_lost(shared, t5, corpus, pattern, window):
    lin = get("full-copy", t5["full-copy"], window=window)
    for doc in documents(shared, corpus, pattern, 16 if window == 512 else 8):
        turns = [e.turn for e in examples(lin, doc)]
        gold = list(doc.annotation.mentions())
        back = {s for c in round_trip(lin, doc).clusters for s in c}
        held = [(t.word[t.word >= 0].min(), t.word.max() + 1) for t in turns]
        for start, end, cluster in gold:
            if not any(first <= start and end <= last for first, last in held):
                continue
            if (start, end) not in back:
                crossed = any(crosses((start, end), g[:2]) for g in gold)
                assert crossed, (doc.doc_id, start, end, cluster)


@pytest.mark.parametrize("name", [n for n in WHOLE if n != "full-copy"])
@pytest.mark.parametrize(("corpus", "pattern"), REAL)
def test_formats_of_the_whole_text_keep_the_same(shared, t5, name, corpus, pattern):
    one, other = (get(n, t5[n], window=512) for n in ("full-copy", name))
    for doc in documents(shared, corpus, pattern, 45):
        assert round_trip(one, doc) == round_trip(other, doc)


@pytest.mark.parametrize("name", PARTIAL)
@pytest.mark.parametrize(("corpus", "pattern"), REAL)
def test_partial_formats_keep_the_text_of_each_mention(shared, t5, name, corpus, pattern):
    """One window a document; where a text occurs more than once, a mention may move."""
    one, other = (get(n, t5[n], window=8192) for n in ("full-copy", name))
    moved = total = 0
    for doc in documents(shared, corpus, pattern, 45):
        kept = {span for c in round_trip(one, doc).clusters for span in c}
        back = {span for c in round_trip(other, doc).clusters for span in c}
        if name == "partial":
            kept = {(s, e) for s, e in kept if any(a <= s and e <= b for a, b in doc.sentences)}
        assert sorted(map(doc.span_text, kept)) == sorted(map(doc.span_text, back))
        moved += len(kept - back)
        total += len(kept)
    assert moved < 0.02 * total
