"""Scores of answers: the traps by hand, and everything against brute force."""

from __future__ import annotations

import itertools
import json
import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t5coref.core.errors import FormatError, MismatchError
from t5coref.downstream.answer_metrics import (
    Score,
    bag_score,
    normalized,
    score,
    span_score,
    spans,
    squad,
    squad2,
)
from t5coref.downstream.answers import read_predictions, write_predictions
from t5coref.downstream.text import TextExample

WORDS = ["the", "A", "cat", "dog", "Dog's", "re-entry", "1,000", "3", "3.0", "1e3", "nan", "-5"]
WORDS += ["$5", "U.S.", "“x”", "the-end", "an.", "--", "\tthe", "1_0", "½", "the’s", "theatre"]
SPAN = st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join)


def float_of(token):
    try:
        return float(token)
    except ValueError:
        return None


def words_of(text):
    """DROP's tokens, found character by character."""
    tokens, token = [], ""
    for letter in text + " ":
        if letter in " -":
            tokens.append(token)
            token = ""
        else:
            token += letter.lower()
    found = []
    for raw in tokens:
        token = raw
        if float_of(token) is None:
            token = "".join(x for x in token if x not in string.punctuation)
        if float_of(token) is not None:
            found.append(str(float_of(token)))
        else:
            found += [word for word in without_articles(token).split() if word]
    return found


def without_articles(text):
    """Blanks instead of each article that neither a letter, a digit nor `_` touches."""
    runs = ["".join(run) for _, run in itertools.groupby(text, lambda x: x.isalnum() or x == "_")]
    return "".join(" " if run in ("a", "an", "the") else run for run in runs)


def brute_f1(found, wanted):
    found, wanted = set(found), set(wanted)
    numbers = [word for word in wanted if float_of(word) is not None]
    if numbers and not any(word in found for word in numbers):
        return 0.0
    if not found or not wanted:
        return float(found == wanted)
    hits = len(found & wanted)
    return 2 * hits / (len(found) + len(wanted))


def brute_span_score(predicted, gold):
    left, right = [words_of(x) for x in predicted], [words_of(x) for x in gold]
    exact = len(left) == len(right) and {*map(tuple, left)} == {*map(tuple, right)}
    size = max(len(left), len(right))
    left += [None] * (size - len(left))
    best = max(
        sum(
            brute_f1(left[j], right[i])
            for i, j in enumerate(order[: len(right)])
            if left[j] is not None
        )
        for order in itertools.permutations(range(size))
    )
    return exact, best / size


@given(predicted=st.lists(SPAN, max_size=4), gold=st.lists(SPAN, min_size=1, max_size=4))
def test_spans_against_all_alignments(predicted, gold):
    exact, f1 = brute_span_score(predicted, gold)
    found = span_score(predicted, gold)
    assert found.exact == exact
    assert found.f1 == pytest.approx(f1, abs=0.005 + 1e-9)
    assert found.f1 == np.round(found.f1, 2)


@given(predicted=SPAN, gold=SPAN)
def test_bags_against_counting(predicted, gold):
    def bag(text):
        text = "".join(x for x in text.lower() if x not in string.punctuation)
        return without_articles(text).split()

    left, right = bag(predicted), bag(gold)
    hits, rest = 0, list(right)
    for word in left:
        if word in rest:
            rest.remove(word)
            hits += 1
    f1 = 2 * hits / (len(left) + len(right)) if hits else 0.0
    assert bag_score(predicted, gold) == Score(left == right, pytest.approx(f1))


@given(golds=st.lists(SPAN, min_size=1, max_size=4), predicted=SPAN)
def test_best_of_each_measure(golds, predicted):
    found = squad(predicted, golds)
    assert found.exact == max(bag_score(predicted, gold).exact for gold in golds)
    assert found.f1 == max(bag_score(predicted, gold).f1 for gold in golds)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("The  Cat's, a U.S. an-them", "cats us anthem"),  # a hyphen joins
        ("theatre", "theatre"),
        ("“the” end", "“ ” end"),  # only ASCII punctuation goes, and an article goes out of it
        ("A", ""),
    ],
)
def test_normalization_of_squad(text, wanted):
    assert normalized(text) == wanted


@pytest.mark.parametrize(
    ("predicted", "gold", "wanted"),
    [
        (["blue eyed cat"], ["blue-eyed cat"], (1, 1)),  # a hyphen separates
        (["1000"], ["1,000"], (1, 1)),  # a comma is punctuation of what is no float
        (["3"], ["3.0"], (1, 1)),  # numbers are floats
        (["10 dogs"], ["10 cats"], (0, 0.5)),  # the number is shared
        (["9 cats"], ["10 cats"], (0, 0)),  # it is not: nothing counts
        (["9 cats"], ["cats"], (0, 0.67)),  # only numbers of the gold span count
        (["cat", "cat"], ["cat", "dog"], (0, 0.5)),
        (["a", "b", "b"], ["a", "a", "b"], (1, 0.67)),  # which span is repeated does not matter
        (["cat"], ["cat", "dog"], (0, 0.5)),
        (["cat", "dog", "cow"], ["cat"], (0, 0.33)),
        ([], ["cat"], (0, 0)),
        (["the"], ["an"], (1, 1)),  # both are empty
        (["cat cat dog"], ["cat dog dog"], (0, 1)),  # sets of tokens
        (["the cat sat"], ["cat"], (0, 0.67)),
        (["cat"], "The Cat.", (1, 1)),  # a text is one span
    ],
)
def test_traps_of_quoref(predicted, gold, wanted):
    assert span_score(predicted, gold) == wanted


def test_one_to_one_pairing_is_the_best_one():
    """The first span would take the partner that the second needs."""
    assert span_score(["a1 b1", "a1"], ["a1", "c1"]) == (0, 0.5)
    assert span_score(["x y", "x"], ["x z", "x y"]).f1 == pytest.approx(0.83)


@pytest.mark.parametrize(
    ("predicted", "golds", "wanted"),
    [
        ("", [], (1, 1)),
        ("the", [], (1, 1)),  # normalized it is empty
        ("cat", [], (0, 0)),
        ("", ["cat"], (0, 0)),
        ("", ["the", "cat"], (0, 0)),  # an empty gold answer does not count beside others
        ("", ["the"], (1, 1)),
        ("cat", ["the cat", "dog"], (1, 1)),
    ],
)
def test_traps_of_squad2(predicted, golds, wanted):
    assert squad2(predicted, golds) == wanted


def test_empty_answers_of_squad1():
    assert bag_score("the", "a") == (1, 0)


def question(name, *golds):
    return TextExample(name, "", "", golds)


def test_missing_predictions_count_nothing_and_are_named():
    examples = [question("a", "cat"), question("b", "dog"), question("c", "cow")]
    found = score(examples, {"a": "cat", "c": "red cow", "z": "cat"}, squad)
    assert found.exact == pytest.approx(100 / 3)
    assert found.f1 == pytest.approx(100 * (1 + 2 / 3) / 3)
    assert (found.questions, found.missing, found.unknown) == (3, ("b",), ("z",))


def test_rounding_comes_before_the_mean():
    examples = [question(f"{i}", ["cat", "dog", "cow"]) for i in range(3)]
    predictions = {f"{i}": ["cat"] for i in range(3)}
    assert score(examples, predictions, spans).f1 == pytest.approx(33)


def test_questions_without_gold_answers_are_named():
    with pytest.raises(MismatchError, match="question q7: no gold answer"):
        score([question("q7")], {"q7": "cat"}, squad)
    with pytest.raises(MismatchError, match="at least one question"):
        score([], {}, squad)


def test_prediction_files(tmp_path):
    path = str(tmp_path / "p.json")
    for several, answers in ((False, {"a": "É", "b": ""}), (True, {"a": ["x", "y"], "b": "z"})):
        write_predictions(answers, path)
        assert read_predictions(path, several=several) == answers
        assert json.loads((tmp_path / "p.json").read_text("utf-8")) == answers


@pytest.mark.parametrize(
    ("text", "several", "message"),
    [
        ('{"q1": ["x"]}', False, r'question q1: expected a text, got \["x"\]'),
        ('{"q1": [1]}', True, "question q1: expected a text or a list of texts"),
        ('{"q1": null}', True, "question q1"),
        ('{"q1": "a", "q1": "b"}', False, "question q1 is answered twice"),
        ("[]", False, "expected an object"),
        ("{", False, "expected JSON"),
    ],
)
def test_wrong_prediction_files(tmp_path, text, several, message):
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(FormatError, match=message):
        read_predictions(str(path), several=several)
