"""Texts to pieces and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t5coref.core.errors import ConfigError, FormatError
from t5coref.downstream import text
from t5coref.downstream.text import Mistakes

WORDS = st.lists(
    st.sampled_from(["the", "dog", "she", "it .", "her", "€", "a€h"]), min_size=1, max_size=6
)


@given(words=WORDS)
def test_without_sentinels_it_is_the_tokenizer(tokenizer, words):
    plain = " ".join(words)
    assert text.encode(tokenizer, plain) == tokenizer.encode(plain)


@given(before=WORDS, after=WORDS, glued=st.booleans())
def test_a_sentinel_changes_no_piece_around_it(tokenizer, before, after, glued):
    left, right = " ".join(before), " ".join(after)
    ids = text.encode(tokenizer, f"{left} <extra_id_3>{'' if glued else ' '}{right}")
    at = ids.index(text.sentinel(tokenizer, 3))
    assert ids[:at] == tokenizer.encode(left)
    if not glued:
        assert ids[at + 1 :] == tokenizer.encode(right)
    else:
        pieces = [tokenizer.piece(i) for i in ids[at + 1 :]]
        assert not pieces[0].startswith("▁")
        spelt = "".join("?" if i == tokenizer.unk_id else tokenizer.piece(i) for i in ids[at + 1 :])
        assert spelt.replace("▁", " ") == right.replace("€", "?")


@given(words=WORDS)
def test_decoding_restores_what_can_be_spelt(tokenizer, words):
    plain = " ".join(word for word in words if "€" not in word)
    ids = [*text.encode(tokenizer, plain), tokenizer.eos_id, 5, 6]
    assert text.decode(tokenizer, ids) == plain


def test_sentinels_are_ids_behind_the_pieces(tokenizer):
    ids = text.encode(tokenizer, "<extra_id_0> the dog <extra_id_99>")
    assert tokenizer.piece(ids[0]) == "<extra_id_0>"
    assert tokenizer.piece(ids[-1]) == "<extra_id_99>"
    assert text.decode(tokenizer, ids) == "<extra_id_0> the dog <extra_id_99>"
    with pytest.raises(ConfigError, match="from 0 to 99"):
        text.encode(tokenizer, "<extra_id_100>")


def test_mistakes_are_raised_or_collected():
    with pytest.raises(FormatError, match="q1"):
        Mistakes.report(None, "f: q1: no answer")
    collected = Mistakes()
    Mistakes.report(collected, "f: q1: no answer")
    assert collected.messages == ["f: q1: no answer"]
