"""The specification's examples, word for word: what is scored and what is read back."""

from __future__ import annotations

import numpy as np
import pytest
from formats import NAMES, document
from walks import make

from t5coref.core.document import BLANK_LINES
from t5coref.linearize import FORMATS, RELATIONS, examples
from t5coref.tokenizer import Tokenizer, reference_pieces

# `C` copies one word, the last one `</s>`; numbers and words stand for their pieces.
ACTIONS = {
    "full-token": "<m> the dog | 0 </m> saw <m> it | 0 </m> </s>",
    "full-copy": "<m> C C | 0 </m> C <m> C | 0 </m> C",
    "input-feed": "<m> C C | 0 </m> C <m> C | 0 </m> C",
    "tagging": "<m> C C | 0 </m> C <m> C | 0 </m> </s>",
    "integer-free": "<m> C C </new> C <m> C </m0> C",
    "integer-free-end": "<m> C C </m> </new> C <m> C </m> <c0> C",
    "partial": "<sentence> <m> the dog | 0 </m> <m> it | 0 </m> </sentence> </s>",
    "partial-unmarked": "<m> the dog | 0 </m> <m> it | 0 </m> </s>",
    "relation-copy": "<m> C C | 0 </m> C <m> C | 0 </m> </s>",
    "relation-integer-free": "<m> C C </new> C <m> C </m0> </s>",
}
FEEDS = {
    "full-copy": "<m> the dog | 0 </m> saw <m> it | 0 </m> </s>",
    "input-feed": "<m> the dog | 0 </m> saw <m> it | 0 </m> </s>",
    "integer-free": "<m> the dog </m0> saw <m> it </m0> </s>",
    "integer-free-end": "<m> the dog </m> <c0> saw <m> it </m> <c0> </s>",
    "relation-copy": "<m> the dog | 0 </m> saw <m> it | 0 </m> </s>",
    "relation-integer-free": "<m> the dog </m0> saw <m> it </m0> </s>",
}
SYMBOLS = {
    "partial": "<speaker> </speaker> <m> </m> <copy> <sentence> </sentence>",
    "integer-free": "<speaker> </speaker> <m> <copy> </new> </m0> </m1>",
    "integer-free-end": "<speaker> </speaker> <m> </m> <copy> </new> <c0> <c1>",
}
INTEGER_SYMBOLS = "<speaker> </speaker> <m> </m> <copy>"


def pieces(lin, text, copied):
    """The pieces of a line of the tables; `C` takes the next word of `copied`."""
    tokenizer, copied = lin.tokenizer, iter(copied)
    out = []
    for word in text.split():
        if word == "C":
            count = 1 if (of := next(copied)) == "</s>" else len(tokenizer.encode(of))
            out += ["<copy>"] * count
        elif word == "</s>" or word in lin.symbols:
            out.append(word)
        else:
            ids = tokenizer.encode(word)[-1:] if word == "|" else tokenizer.encode(word)
            out += map(tokenizer.piece, ids)
    return out


def shown(lin, tokens):
    return [lin.tokenizer.piece(int(t)) for t in tokens]


@pytest.mark.parametrize("constraint", ["strict", "reference"])
@pytest.mark.parametrize("name", ACTIONS)
def test_the_dog_saw_it(tokenizer, name, constraint):
    lin = make(tokenizer, name, constraint)
    (example,) = examples(lin, document("the dog saw it", [[(0, 2), (3, 4)]]))
    copied = ["the", "dog", "saw", "it", "</s>"]
    assert shown(lin, example.actions) == pieces(lin, ACTIONS[name], copied)
    fed = pieces(lin, FEEDS.get(name, ACTIONS[name]), copied)
    if name == "input-feed":
        # Read: the mean of the piece and its action; other symbols beside themselves.
        assert shown(lin, example.feeds[:, 0]) == fed
        np.testing.assert_array_equal(example.feeds[:, 1], example.actions)
    else:
        assert shown(lin, example.feeds) == fed
    source = "<sentence> the dog saw it </sentence> </s>" if name == "partial" else " ".join(copied)
    assert shown(lin, example.turn.source) == pieces(lin, source, [])


def test_every_format_has_an_example():
    assert sorted(ACTIONS) == NAMES


# "the old dog" holds "the", ends where "it" begins, and "saw" is in no mention.
NESTED = {
    "full-token": "<m> <m> the | 0 </m> old dog | 1 </m> <m> it | 0 </m> saw <m> Ben | 2 </m> </s>",
    "full-copy": "<m> <m> C | 0 </m> C C | 1 </m> <m> C | 0 </m> C <m> C | 2 </m> C",
    "input-feed": "<m> <m> C | 0 </m> C C | 1 </m> <m> C | 0 </m> C <m> C | 2 </m> C",
    "tagging": "<m> <m> C | 0 </m> C C | 1 </m> <m> C | 0 </m> C <m> C | 2 </m> </s>",
    "integer-free": "<m> <m> C </new> C C </new> <m> C </m0> C <m> C </new> C",
    "integer-free-end": (
        "<m> <m> C </m> </new> C C </m> </new> <m> C </m> <c0> C <m> C </m> </new> C"
    ),
    "partial": (
        "<sentence> <m> <m> the | 0 </m> old dog | 1 </m> <m> it | 0 </m> </sentence> "
        "<sentence> <m> Ben | 2 </m> </sentence> </s>"
    ),
    "partial-unmarked": (
        "<m> <m> the | 0 </m> old dog | 1 </m> <m> it | 0 </m> <m> Ben | 2 </m> </s>"
    ),
}


@pytest.mark.parametrize("name", NESTED)
def test_inner_mentions_close_first_and_closings_come_before_openings(tokenizer, name):
    lin = make(tokenizer, name, window=80)
    words = "the old dog it saw Ben"
    # Cluster 2 is listed first, but numbers follow the first closing tags.
    doc = document(words, [[(5, 6)], [(0, 3)], [(3, 4), (0, 1)]], [(0, 5), (5, 6)])
    (example,) = examples(lin, doc)
    assert shown(lin, example.actions) == pieces(lin, NESTED[name], [*words.split(), "</s>"])


def test_published_sentence_marks_count_superfluous_blank_lines(tokenizer):
    class Published(Tokenizer):
        def __init__(self, model, symbols):
            super().__init__(model, symbols, reference_pieces)

    doc = document("it saw the", [[(1, 2)]], [(0, 1), (1, 3)], extra={BLANK_LINES: [0, 1]})
    lin = make(tokenizer, "partial", "reference", kind=Published)
    (example,) = examples(lin, doc)
    start, end = "<sentence>", "</sentence>"
    expected = f"{end} {start} it {end} {end} {start} saw the {end} </s>"
    assert shown(lin, example.turn.source) == pieces(lin, expected, [])
    expected = f"{end} {start} {end} {end} {start} <m> saw | 0 </m> {end} </s>"
    assert shown(lin, example.actions) == pieces(lin, expected, [])
    (example,) = examples(make(tokenizer, "partial"), doc)
    expected = f"{start} it {end} {start} saw the {end} </s>"
    assert shown(lin, example.turn.source) == pieces(lin, expected, [])


@pytest.mark.parametrize("name", [n for n in ACTIONS if n not in RELATIONS])
def test_symbols_take_the_ids_of_the_published_checkpoints(tokenizer, name):
    lin = make(tokenizer, name)
    symbols = SYMBOLS.get(name, INTEGER_SYMBOLS).split()
    ids = [lin.tokenizer.symbol(s) for s in symbols]
    first = lin.tokenizer.size - len(lin.symbols)
    assert ids == list(range(first, first + len(symbols)))
    assert lin.symbols == FORMATS[name].symbols
    full = {"integer-free": 505, "integer-free-end": 506}
    assert len(lin.symbols) == full.get(name, len(symbols))
