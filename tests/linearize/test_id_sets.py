"""Id sets: mentions that are several clusters together, from gold to an output and back."""

from __future__ import annotations

import dataclasses
import functools
import itertools

import numpy as np
import pytest
import walks
from formats import document, spans
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import UNLIKE

from t5coref import corpora
from t5coref.core.anaphora import anaphora, split_antecedents
from t5coref.core.anaphora_metrics import AnaphoraScorer
from t5coref.core.anaphora_sides import UNIVERSAL_ANAPHORA
from t5coref.core.automaton import DONE, Source
from t5coref.core.document import Annotation
from t5coref.core.errors import ConfigError
from t5coref.core.transcript import account
from t5coref.corpora import conllu, conllua, jsonl
from t5coref.linearize import FORMATS, Answer, examples, get, replay, round_trip
from t5coref.linearize.iterative import Iterative
from t5coref.tokenizer import Tokenizer

make = functools.cache(walks.make)
NAMES = [name for name, format_ in FORMATS.items() if getattr(format_, "has_sets", False)]
WIDE = {"window": 400, "max_depth": 16, "max_clusters": 30, "sets": True}
MEET = "Anna met Ben . They left ."
TOGETHER = Annotation([[(0, 1)], [(2, 3)], [(4, 5)]], split=[(2, 0), (2, 1)])


def links(annotation):
    """Split antecedents by their clusters."""
    return {(annotation.clusters[a], annotation.clusters[b]) for a, b in annotation.split}


def gold_of(doc):
    """The annotation with the split antecedents that `extra` has."""
    return dataclasses.replace(doc.annotation, split=split_antecedents(doc))


def with_split(doc, annotation):
    """A document as CONLL-UA has it: split antecedents lie in `extra`."""
    said = doc.with_annotation(annotation)
    bare = dataclasses.replace(annotation, split=())
    return dataclasses.replace(doc, annotation=bare, extra={"anaphora": anaphora(said).to_json()})


def written(lin, actions):
    return " ".join(lin.tokenizer.piece(t) for t in actions.tolist())


@st.composite
def split_documents(draw):
    """Words that are mentions, in clusters some of which consist of others."""
    size = draw(st.integers(2, 16))
    clusters = draw(st.integers(2, 5))
    of = draw(st.lists(st.integers(0, clusters), min_size=size, max_size=size))
    found = [[(i, i + 1) for i in range(size) if of[i] == c] for c in range(clusters)]
    found = [cluster for cluster in found if cluster]
    n = len(found)
    pairs = [(a, b) for a in range(n) for b in range(n) if a != b]
    split = draw(st.sets(st.sampled_from(pairs), max_size=6)) if pairs else set()
    split = {(a, b) for a, b in split if a < b or (b, a) not in split}
    return with_split(document(" ".join(UNLIKE[:size])), Annotation(found, split=sorted(split)))


def test_they_are_anna_and_ben(tokenizer):
    doc = with_split(document(MEET), TOGETHER)
    assert doc.annotation.split == ()
    assert split_antecedents(doc) == TOGETHER.split
    lin = make(tokenizer, "iterative-handles", sets=True)
    (example,) = examples(lin, doc)
    they = "<of> <c0> <of> <c1> </new>"
    assert written(lin, example.actions) == f"</new> </new> {they} </s>"
    read, beside = (written(lin, column) for column in example.feeds.T)
    assert read == "<c0> <c1> <of> <c0> <of> <c1> <c2> </s>"
    assert beside == "<m1> <m2> <m2> <m2> <m2> <m2> </s> </s>"
    assert round_trip(lin, doc) == TOGETHER
    # What comes first is named first, too: "They met, Anna and Ben".
    first = Annotation([[(0, 1), (5, 6)], [(2, 3)], [(4, 5)]], split=[(0, 1), (0, 2)])
    (example,) = examples(lin, with_split(document("They met Anna and Ben they"), first))
    assert written(lin, example.actions).count("<in> <c0> </new>") == 2


@pytest.mark.parametrize("name", NAMES)
def test_without_the_option_nothing_changes(tokenizer, name):
    doc = with_split(document(MEET), TOGETHER)
    lin = make(tokenizer, name)
    assert not {"<of>", "<in>"} & set(lin.symbols)
    assert lin.rules.exact
    assert round_trip(lin, doc) == Annotation(TOGETHER.clusters)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(doc=split_documents(), nulls=st.booleans())
def test_every_split_antecedent_comes_back(tokenizer, name, doc, nulls):
    lin = make(tokenizer, name, nulls=nulls, **WIDE)
    (example,) = examples(lin, doc)
    back = round_trip(lin, doc)
    assert spans(back) == spans(doc.annotation)
    wanted = gold_of(doc)
    assert links(back) == links(wanted)
    # Each is written once, and what is written is legal and clean.
    assert sum(t in lin.linking for t in example.actions.tolist()) == len(wanted.split)
    source, tokens = Source(example.turn.source, lin.rules.marks), example.actions.tolist()
    assert walks.follow(lin.rules, source, tokens, len(tokens)).mode == DONE
    made, _ = account(lin.transcript(example.turn, Answer(example.actions)))
    assert (made.exact, made.passed, made.answered) == (True, True, made.mentions)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30, deadline=None)
@given(doc=split_documents(), carry=st.booleans())
def test_windows_invent_no_split_antecedents(tokenizer, name, doc, carry):
    lin = make(tokenizer, name, window=24, max_clusters=8, carry=carry, sets=True)
    wanted = gold_of(doc)
    found = examples(lin, doc)
    for e in found:
        assert e.actions[: len(e.turn.forced)].tolist() == e.turn.forced.tolist()
    back = round_trip(lin, doc)
    home = {span: c for c in doc.annotation.clusters for span in c}
    assert {(home[a[0]], home[b[0]]) for a, b in links(back)} <= links(wanted)
    assert replay(lin, doc, [e.actions for e in found]) == back


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30, deadline=None)
@given(doc=split_documents())
def test_with_a_memory_clusters_of_other_windows_are_named(tokenizer, name, doc):
    options = {"window": 124, "memory": 100, "max_clusters": 60, "carry": True, "sets": True}
    lin = make(tokenizer, name, **options)
    back = round_trip(lin, doc)
    wanted = gold_of(doc)
    assert links(back) == links(wanted)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_sequence_can_be_read(tokenizer, name, seed):
    lin, rng = make(tokenizer, name, nulls=True, sets=True), np.random.default_rng(seed)
    (turn,) = lin.split(with_split(document(MEET), TOGETHER))
    alphabet = [*lin.linking * 4, *lin.clusters[:4], lin.new, lin.null, lin.close]
    actions = rng.choice(alphabet, rng.integers(0, 24)).astype(np.int32)
    reading = lin.read(turn, Answer(actions))
    assert all(0 <= end < len(reading.clusters) for link in reading.split for end in link)
    feeds = lin.feeds(turn, actions)
    assert walks.fed_first(feeds).shape == actions.shape
    made, _ = account(lin.transcript(turn, Answer(actions)))
    assert made.mentions == 3
    # Whatever stands for nothing is counted: an answer, a link of two symbols, or stray.
    answers = list(lin.slots(turn, Answer(actions)))
    linked = sum(len(a.links) for a in answers)
    assert made.extra_marks == len(actions) - len(answers) - 2 * linked


def test_links_that_say_nothing(tokenizer):
    """To a cluster that is not there, to itself, of what is no mention."""
    lin = make(tokenizer, "iterative-ids", nulls=True, sets=True)
    doc = with_split(document(MEET), TOGETHER)
    symbol = lin.tokenizer.symbol
    cases = {
        "<of> <c0> </new> </new> </new> </s>": (set(), 1),
        "</new> <of> <c0> <c0> </new> </s>": (set(), 0),
        "</new> <of> <c0> <null> </new> </s>": (set(), 1),
        "</new> </new> <of> <c1> <of> <c0> </new> </s>": ({(2, 1)}, 1),
        "</new> </new> <of> <c0> <in> <c1> </new> </s>": ({(2, 0), (1, 2)}, 0),
    }
    (turn,) = lin.split(doc)
    for text, (wanted, outside) in cases.items():
        tokens = [1 if t == "</s>" else symbol(t) for t in text.split()]
        answer = Answer(np.asarray(tokens, np.int32))
        assert set(lin.read(turn, answer).split) == wanted
        assert account(lin.transcript(turn, answer))[0].outside_ids == outside


def test_formats_that_repeat_the_text_have_no_sets(tokenizer):
    for name in set(FORMATS) - set(NAMES):
        if issubclass(FORMATS[name], Iterative):
            with pytest.raises(ConfigError, match="iterative-ids or iterative-handles"):
                walks.make(tokenizer, name, sets=True)


def scored(key, response):
    scorer = AnaphoraScorer(UNIVERSAL_ANAPHORA)
    scorer.add(key, response)
    return scorer.compute()["conll"].f1, scorer.compute_split()


def test_what_is_predicted_is_scored_and_kept_by_files(tokenizer, tmp_path):
    doc = with_split(document(MEET), TOGETHER)
    found = doc.with_annotation(round_trip(make(tokenizer, "iterative-ids", sets=True), doc))
    without = doc.with_annotation(round_trip(make(tokenizer, "iterative-ids"), doc))
    whole, parts = scored(doc, found)
    assert whole == 1.0
    assert all(score.f1 == 1.0 for score in parts.values())
    assert scored(doc, without)[0] < 1.0
    jsonl.write([found], tmp_path / "a.jsonl")
    assert list(jsonl.read(tmp_path / "a.jsonl")) == [found]
    for writer, reader in ((conllua.write, conllua.read), (conllu.write, conllu.read)):
        writer([found], tmp_path / "a")
        (read,) = reader(tmp_path / "a")
        assert links(gold_of(read)) == links(found.annotation)


@settings(max_examples=40, deadline=None)
@given(doc=split_documents())
def test_conll_ua_documents_come_back(tokenizer, tmp_path_factory, doc):
    """From a file through an output into a file: the same split antecedents."""
    file = tmp_path_factory.mktemp("ua") / "d.CONLLUA"
    conllua.write([doc], file)
    (read,) = conllua.read(file)
    assert links(gold_of(read)) == links(gold_of(doc))
    back = round_trip(make(tokenizer, "iterative-handles", **WIDE), read)
    conllua.write([read.with_annotation(back)], file)
    (again,) = conllua.read(file)
    assert links(gold_of(again)) == links(gold_of(doc))
    assert spans(again.annotation) == spans(doc.annotation)


def test_split_antecedents_of_gum_come_back(shared):
    files = sorted((shared / "data").glob("gum/dev/*.conllu"))
    files = [f for f in files if "SplitAnte=" in f.read_text("utf-8")][:3]
    if not files:
        pytest.skip(f"no gum/dev/*.conllu in {shared / 'data'}")
    symbols = FORMATS["iterative-ids"].symbols_with({"sets": True})
    pieces = Tokenizer(shared / "data/t5/spiece.model", symbols)
    lin = get("iterative-ids", pieces, sets=True, window=20000)
    for doc in itertools.chain.from_iterable(corpora.read(f, "gum") for f in files):
        assert links(gold_of(doc))
        assert links(round_trip(lin, doc)) == links(gold_of(doc))
