"""Chunks of texts, logits back to answers, and the heads between them."""

from __future__ import annotations

import functools
import itertools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t5coref.core.errors import ConfigError
from t5coref.downstream import spans
from t5coref.downstream.answers import question_files
from t5coref.downstream.span_head import SpanAnswers
from t5coref.downstream.spans import Chunk, Chunking, Logits
from t5coref.downstream.text import TextExample
from t5coref.nn.downstream import MultiSpanHead, SpanHead
from t5coref.nn.downstream.spans import MASKED, SpanLogits
from t5coref.tokenizer import Tokenizer

TEXT = "the dog saw it . she saw him near the old house . Anna gave Ben her cat . it saw her ."


@pytest.fixture(scope="module")
def pieces():
    sentences = [TEXT, "question: who ? context: the dog", *TEXT.split()]
    return Tokenizer.train(sentences, 70, ())


def example(*answers, context=TEXT, question="who saw it ?"):
    places = [[context.index(text), context.index(text) + len(text)] for text in answers]
    data = {"question": question, "context": context, "answers": places}
    return TextExample("q", "", "", (tuple(answers),), data)


@given(
    words=st.lists(st.sampled_from(["the", "dog.", "€", "e€a", "ﬁ", "Anna's", "."]), max_size=9),
    blank=st.sampled_from([" ", "\n", "  "]),
)
def test_places_of_pieces(pieces, words, blank):
    text = blank.join(words)
    ids, places = spans.pieces_of(pieces, text)
    assert ids == [i for word in words for i in pieces.encode(word)]
    for token, (start, end) in zip(ids, places, strict=True):
        letters = pieces.piece(token).replace("▁", "")
        assert text[start:end] == letters or text[start:end] in words
    assert (np.diff(places[:, 0]) >= 0).all()


@pytest.mark.parametrize("stride", [3, 10, 100])
@pytest.mark.parametrize("length", [30, 40, 400])
def test_chunks_cover_the_text(pieces, stride, length):
    chunking = Chunking(max_length=length, max_question=8, stride=stride)
    asked = example("Anna", "her cat")
    made = spans.chunks(asked, pieces, chunking)
    ids, places = spans.pieces_of(pieces, TEXT)
    seen = np.zeros(len(ids), int)
    for chunk in made:
        assert len(chunk) <= length
        assert chunk.ids[-1] == 1
        start = next(i for i in range(len(ids)) if np.array_equal(places[i], chunk.places[0]))
        part = slice(start, start + len(chunk.places))
        assert chunk.ids[chunk.first : -1].tolist() == ids[part]
        seen[part] += chunk.central
        for first, last in chunk.answers:
            left, right = chunk.places[first - chunk.first, 0], chunk.places[last - chunk.first, 1]
            assert TEXT[left:right] in ("Anna", "her cat")
    assert seen.tolist() == [1] * len(ids)  # each piece is central once
    assert (len(made) == 1) == (length == 400)
    assert sum(len(chunk.answers) for chunk in made) >= 2


def test_chunks_begin_behind_full_stops(pieces):
    made = spans.chunks(example(), pieces, Chunking(max_length=40, max_question=8, stride=5))
    assert len(made) > 1
    for chunk in made[1:]:
        assert TEXT[: chunk.places[0, 0]].rstrip().endswith(".")


def test_texts_without_full_stops_are_read_to_their_end(pieces):
    text = TEXT.replace(" .", "")
    made = spans.chunks(
        example(context=text), pieces, Chunking(max_length=40, max_question=8, stride=5)
    )
    for one, other in itertools.pairwise(made):
        assert other.places[0, 0] <= one.places[-1, 1]
    assert made[-1].places[-1, 1] == len(text)


def test_empty_texts_and_wrong_settings(pieces):
    (chunk,) = spans.chunks(example(context=" "), pieces, Chunking())
    assert len(chunk.places) == 0
    flat = np.zeros(len(chunk))
    assert spans.answers(" ", [(chunk, Logits(flat, flat))]) == []
    with pytest.raises(ConfigError, match="room for a text"):
        Chunking(max_length=20, max_question=16)


CONTEXT = "ab cd ef gh"


def chunk_of(first=2, central=(True,) * 4, places=((0, 2), (3, 5), (6, 8), (9, 11))):
    ids = np.ones(first + len(places) + 1, np.int32)
    return Chunk("q", ids, first, np.asarray(places), np.asarray(central), np.zeros((0, 2)))


def logits(start, end, count=None):
    """Logits of six positions, or of more that are padding."""
    return Logits(np.asarray(start, float), np.asarray(end, float), count)


def test_the_best_pair_in_order_is_taken():
    found = logits([9, 0, 0, 5, 0, 4, 0], [9, 0, 6, 0, 0, 3, 0])  # 5 + 6 is no span: it is reversed
    assert spans.answers(CONTEXT, [(chunk_of(), found)]) == ["cd ef gh"]
    assert spans.answers(CONTEXT, [(chunk_of(), found)], max_pieces=2) == ["gh"]


def test_two_answers_do_not_overlap():
    several = np.asarray([0.0, 1.0, 2.0])
    found = logits([0, 0, 5, 4, 0, 3, 0], [0, 0, 1, 6, 0, 2, 0], several)
    assert spans.answers(CONTEXT, [(chunk_of(), found)]) == ["ab cd", "gh"]
    one = found._replace(count=np.asarray([9.0, 2.0, 2.0]))
    assert spans.answers(CONTEXT, [(chunk_of(), one)]) == ["ab cd"]
    assert spans.answers(CONTEXT, [(chunk_of(), one), (chunk_of(), found)])[0] == "ab cd"


def test_answers_that_contain_each_other_are_one():
    text = "ab cd ab ef"
    found = logits([0, 0, 5, 0, 4, 3, 0], [0, 0, 5, 0, 4, 3, 0], np.asarray([0.0, 0.0, 1.0]))
    assert spans.answers(text, [(chunk_of(), found)]) == ["ab", "ef"]


def test_only_central_first_pieces_count():
    found = logits([0, 0, 5, 4, 0, 0, 0], [0, 0, 5, 4, 0, 0, 0])
    chunk = chunk_of(central=(False, True, True, True))
    assert spans.answers(CONTEXT, [(chunk, found)]) == ["cd"]


def test_n_best_counts_every_position():
    """The question's pieces take places among the n best, as in the code."""
    found = logits([9, 8, 5, 0, 0, 0, 0], [9, 8, 0, 5, 0, 0, 0])
    assert spans.answers(CONTEXT, [(chunk_of(), found)], n_best=2) == []
    assert spans.answers(CONTEXT, [(chunk_of(), found)], n_best=3) == ["ab cd"]


def test_no_answer_wins_by_the_least_of_the_chunks():
    weak = logits([2, 0, 3, 0, 0, 0, 0], [2, 0, 3, 0, 0, 0, 0])
    strong = logits([9, 0, 0, 0, 0, 0, 0], [9, 0, 0, 0, 0, 0, 0])
    both = [(chunk_of(), weak), (chunk_of(), strong)]
    assert spans.answers(CONTEXT, both, may_be_empty=True) == ["ab"]
    assert spans.answers(CONTEXT, both[1:], may_be_empty=True) == []
    assert spans.answers(CONTEXT, both[1:]) != []


B, T, D = 3, 9, 8


@pytest.fixture(scope="module")
def features():
    ids = np.ones((B, T), np.int32)
    ids[1, 6:] = 0
    return {
        "encoder_input_tokens": ids,
        "answer_start": np.asarray([[2, 5], [3, 0], [0, 0]], np.int32),
        "answer_end": np.asarray([[4, 5], [3, 0], [0, 0]], np.int32),
        "answer_mask": np.asarray([[1, 1], [1, 0], [1, 0]], np.int32),
    }


@functools.cache
def made(head):
    states = np.random.default_rng(0).standard_normal((B, T, D)).astype(np.float32)
    sample = head.sample()
    zeros = jnp.zeros((*sample["encoder_input_tokens"].shape, D))
    params = head.init(jax.random.key(0), zeros, sample, deterministic=True)["params"]
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda x: rng.standard_normal(x.shape).astype(np.float32), params)
    return states, params


@functools.partial(jax.jit, static_argnames="head")
def loss(head, params, states, features):
    output = head.apply({"params": params}, states, features, deterministic=True)
    return output, head.losses(output, features)


def softmax_loss(row, wanted):
    row = np.asarray(row, np.float64)
    return np.log(np.sum(np.exp(row - row.max()))) + row.max() - row[wanted]


def test_plain_head_against_loops(features):
    head = SpanHead()
    states, params = made(head)
    output, found = loss(head, params, states, features)
    kernel, bias = params["pointers"]["kernel"], params["pointers"]["bias"]
    for row in range(B):
        places = np.flatnonzero(features["encoder_input_tokens"][row])
        plain = states[row, places].astype(np.float64) @ kernel + bias
        np.testing.assert_allclose(output.start[row, places], plain[:, 0], rtol=1e-4, atol=1e-5)
        wanted = 0.0
        for a in np.flatnonzero(features["answer_mask"][row]):
            wanted += softmax_loss(plain[:, 0], features["answer_start"][row, a])
            wanted += softmax_loss(plain[:, 1], features["answer_end"][row, a])
        np.testing.assert_allclose(found.total[row], wanted / 2, rtol=1e-4)
    assert (output.end[1, 6:] == MASKED).all()
    assert output.count is None
    assert found.weight.tolist() == [1, 1, 1]


def test_multi_span_head_against_numpy(features):
    head = MultiSpanHead(heads=2, mlp_dim=6, dropout_rate=0.0)
    states, params = made(head)
    output, found = loss(head, params, states, features)
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), params)["reasoning"]

    def linear(x, name):
        return x @ p[name]["kernel"] + p[name]["bias"]

    def norm(x, name):
        x = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)
        return x * p[name]["scale"] + p[name]["bias"]

    erf = np.vectorize(math.erf)
    for row in range(B):
        places = np.flatnonzero(features["encoder_input_tokens"][row])
        x = states[row, places].astype(np.float64)
        mixed = []
        for part in (slice(0, D // 2), slice(D // 2, D)):
            q, k, v = (linear(x, name)[:, part] for name in ("query", "key", "value"))
            weights = np.exp(q @ k.T / np.sqrt(D // 2))
            mixed.append(weights / weights.sum(-1, keepdims=True) @ v)
        x = norm(x + linear(np.concatenate(mixed, -1), "attended"), "attention_norm")
        hidden = linear(x, "hidden")
        hidden = hidden * 0.5 * (1 + erf(hidden / np.sqrt(2)))
        x = norm(x + linear(hidden, "output"), "output_norm")
        count = x[0] @ params["count"]["kernel"] + params["count"]["bias"]
        plain = x @ params["pointers"]["kernel"] + params["pointers"]["bias"]
        np.testing.assert_allclose(output.start[row, places], plain[:, 0], rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(output.count[row], count, rtol=2e-3, atol=2e-3)
        wanted = softmax_loss(count, [2, 1, 0][row])
        for a in np.flatnonzero(features["answer_mask"][row]):
            wanted += softmax_loss(plain[:, 0], features["answer_start"][row, a])
            wanted += softmax_loss(plain[:, 1], features["answer_end"][row, a])
        np.testing.assert_allclose(found.total[row], wanted, rtol=2e-3)


def test_padding_changes_nothing(features):
    head = MultiSpanHead(heads=2, mlp_dim=6, dropout_rate=0.0)
    states, params = made(head)
    changed = states.copy()
    changed[1, 6:] = 100.0
    one, other = (loss(head, params, x, features)[0] for x in (states, changed))
    np.testing.assert_array_equal(one.start, other.start)
    np.testing.assert_array_equal(one.count, other.count)


def test_heads_must_divide_the_width(features):
    head = MultiSpanHead(heads=3)
    with pytest.raises(ValueError, match="width 8 with 3 heads"):
        head.init(jax.random.key(0), jnp.zeros((1, 8, D)), head.sample(), deterministic=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six questions in QUOREF's layout; one of them with three answers."""
    path = tmp_path_factory.mktemp("quoref")
    answers = (["dog"], ["Anna", "Ben", "cat"], ["house"], ["Ben"], ["dog", "house"], ["cat"])
    asked = [
        {
            "id": f"q{i}",
            "question": "who saw it ?",
            "answers": [{"text": a, "answer_start": TEXT.index(a)} for a in texts],
        }
        for i, texts in enumerate(answers)
    ]
    content = {"data": [{"paragraphs": [{"context": TEXT, "qas": asked}]}]}
    (path / "train.json").write_text(json.dumps(content))
    return path


def test_more_answers_than_fit_are_drawn(folder, pieces):
    examples = question_files(questions="quoref", files=str(folder / "train.json"))
    task = SpanAnswers(questions="quoref", head=SpanHead(), train_set=examples)
    rows = [chunk for chunk in task.rows(pieces) if len(chunk.answers) == 3]
    seen = set()
    for seed in range(12):
        batch = task.batch(rows, np.random.default_rng(seed))
        assert batch["answer_mask"].tolist() == [[1, 1]]
        seen |= set(batch["answer_start"][0].tolist())
    assert seen == set(rows[0].answers[:, 0].tolist())
    assert task.batch(rows, None)["answer_start"].tolist() == [rows[0].answers[:2, 0].tolist()]


def test_unknown_data_sets_are_refused():
    with pytest.raises(ConfigError, match="expected one of squad, squad2, mrqa, quoref"):
        SpanAnswers(questions="drop", head=SpanHead(), train_set=[])
    assert isinstance(SpanLogits(jnp.zeros(1), jnp.zeros(1)), tuple)
