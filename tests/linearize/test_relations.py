"""Formats that write relations: examples, round trips, what is legal, and what is refused."""

from __future__ import annotations

import dataclasses
import functools
import itertools

import numpy as np
import pytest
import walks
from formats import clusters, document, mentions, spans
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import UNLIKE, documents

from t5coref.core import automaton
from t5coref.core.automaton import DONE, Source
from t5coref.core.document import Annotation, Document, Relation
from t5coref.core.errors import ConfigError, DocumentError, MismatchError
from t5coref.core.triples import Triple
from t5coref.linearize import (
    FORMATS,
    RELATIONS,
    Answer,
    Turn,
    drive,
    examples,
    get,
    inventory,
    replay,
    round_trip,
    symbols_of,
)
from t5coref.tokenizer import Tokenizer

NAMES, TYPES = ("a", "b", "c"), ("X", "Y")
CLUSTERS = [n for n in RELATIONS if n in walks.BRACKETS]
WIDE = {"window": 400, "max_depth": 16, "max_clusters": 20, "relations": NAMES}

make = functools.cache(walks.make)


class OnePiece(Tokenizer):
    """Each of the words UNLIKE is a piece of its own, and so is each number below ten."""

    def encode(self, text):
        first = self._sp.vocab_size()  # the sentinels
        known = [*UNLIKE, *map(str, range(10))]
        return [first + known.index(text)] if text in known else super().encode(text)


def typed(tokenizer, name, **options):
    return make(tokenizer, name, **WIDE | {"entity_types": TYPES} | options)


@st.composite
def related(draw, **options) -> Document:
    """Documents with entity types and relations, some of them twice or from a cluster to itself."""
    doc = draw(documents(**options))
    count = len(doc.annotation.clusters)
    number = st.integers(0, max(0, count - 1))
    found = draw(st.lists(st.builds(Relation, number, number, st.sampled_from(NAMES)), max_size=8))
    types = draw(st.lists(st.sampled_from([*TYPES, None]), min_size=count, max_size=count))
    annotation = Annotation(
        doc.annotation.clusters, tuple(found) if count else (), types=tuple(types)
    )
    return doc.with_annotation(annotation)


def facts(annotation, kept=None):
    """Relations by the mentions of their clusters; `kept`: those mentions alone."""
    own = [frozenset(c) for c in annotation.clusters]
    if kept is not None:
        own = [frozenset((s, e) for s, e, k in kept if k == c) for c in range(len(own))]
    return {
        (own[r.head], own[r.tail], r.type)
        for r in annotation.relations
        if r.head != r.tail and own[r.head] and own[r.tail]
    }


# Cluster 0 is Anna, 1 is her dog, 2 is Ben.
STORY = document("Anna gave her dog to Ben").with_annotation(
    Annotation(
        (((0, 1), (2, 3)), ((2, 4),), ((5, 6),)),
        (Relation(2, 1, "a"), Relation(0, 2, "c"), Relation(0, 2, "a"), Relation(0, 1, "b")),
        types=("X", "Y", None),
    )
)  # fmt: skip
PLAIN = "Anna gave her dog to Ben </s>"
SHOWN = {
    "relation-copy": (
        PLAIN,
        "<m> C | 0 <type:X> </m> C <m> <m> C | 0 <type:X> </m> C | 1 <type:Y> </m> C "
        "<m> C | 2 <type> </m> "
        "<rel> 0 1 <rel:b> <rel> 0 2 <rel:a> <rel> 0 2 <rel:c> <rel> 2 1 <rel:a> </s>",
    ),
    "relation-integer-free": (
        PLAIN,
        "<m> C </new> <type:X> C <m> <m> C </m0> <type:X> C </new> <type:Y> C "
        "<m> C </new> <type> <rel> </m0> </m1> <rel:b> <rel> </m0> </m2> <rel:a> "
        "<rel> </m0> </m2> <rel:c> <rel> </m2> </m1> <rel:a> </s>",
    ),
    "relation-ids": (
        "<m0> <type:X> Anna </m> gave <m1> <type:Y> <m0> <type:X> her </m> dog </m> to "
        "<m2> <type> Ben </m> </s>",
        "<rel> <m0> <m1> <rel:b> <rel> <m0> <m2> <rel:a> <rel> <m0> <m2> <rel:c> "
        "<rel> <m2> <m1> <rel:a> </s>",
    ),
    "relation-text": (
        PLAIN,
        "Anna <;> her <type:X> her dog <type:Y> <rel:b> Anna <;> her <type:X> Ben <type> <rel:a> "
        "Anna <;> her <type:X> Ben <type> <rel:c> Ben <type> her dog <type:Y> <rel:a> </s>",
    ),
}
UNTYPED = {" <type:X>": "", " <type:Y>": "", " <type>": ""}


@pytest.mark.parametrize("name", RELATIONS)
@pytest.mark.parametrize("with_types", [True, False])
def test_a_story(tokenizer, name, with_types):
    lin = typed(tokenizer, name, kind=OnePiece, entity_types=TYPES if with_types else ())
    (example,) = examples(lin, STORY)

    def written(text):
        if not with_types:
            for symbol, instead in UNTYPED.items():
                # The text of an entity has to end.
                text = text.replace(symbol, " <type>" if name == "relation-text" else instead)
        known = {s: lin.tokenizer.symbol(s) for s in lin.symbols}
        known |= {"C": known.get("<copy>"), "</s>": lin.tokenizer.eos_id}
        known["|"] = lin.tokenizer.encode("|")[-1]
        return [known.get(w) or lin.tokenizer.encode(w)[0] for w in text.split()]

    source, actions = map(written, SHOWN[name])
    assert example.turn.source.tolist() == source
    assert example.actions.tolist() == actions


@pytest.mark.parametrize("name", CLUSTERS)
@settings(max_examples=60, deadline=None)
@given(doc=related())
def test_clusters_types_and_relations_come_back(tokenizer, name, doc):
    back = round_trip(typed(tokenizer, name), doc)
    held = mentions(doc, in_sentences=False)
    assert spans(back) == clusters(held)
    assert facts(back) == facts(doc.annotation, held)
    kinds = {frozenset(c): t for c, t in zip(back.clusters, back.types, strict=True)}
    for cluster, kind in enumerate(doc.annotation.types):
        own = frozenset((s, e) for s, e, c in held if c == cluster)
        twins = [c for c in clusters(held) if frozenset(c) == own]
        if len(twins) == 1:
            assert kinds[own] == kind
    untyped = round_trip(make(tokenizer, name, **WIDE), doc)
    assert untyped == Annotation(back.clusters, back.relations)


@settings(max_examples=60, deadline=None)
@given(doc=related())
def test_clusters_that_are_given_stay_as_they_are(tokenizer, doc):
    """Relations between those that have a mark come back, whatever else the clusters are."""
    back = round_trip(typed(tokenizer, "relation-ids"), doc)
    gold = doc.annotation
    assert (back.clusters, back.types) == (gold.clusters, gold.types)
    marked = {c for _, _, c in mentions(doc, in_sentences=False)}
    wanted = {r for r in gold.relations if r.head != r.tail and {r.head, r.tail} <= marked}
    assert list(back.relations) == sorted(wanted, key=lambda r: (r.head, r.tail, r.type))


@settings(max_examples=60, deadline=None)
@given(doc=related(words=UNLIKE, unique=True))
def test_clusters_come_back_by_their_texts(tokenizer, doc):
    """Where no text stands twice, those in relations do, but what crosses within a cluster."""
    back = round_trip(typed(tokenizer, "relation-text", kind=OnePiece), doc)
    gold, kept = doc.annotation, []
    for c, cluster in enumerate(gold.clusters):
        alone = doc.with_annotation(Annotation((cluster,)))
        kept += [(s, e, c) for s, e, _ in mentions(alone, in_sentences=False)]
    # Clusters of equal texts are one.
    unlike = [r for r in gold.relations if gold.clusters[r.head] != gold.clusters[r.tail]]
    wanted = facts(dataclasses.replace(gold, relations=unlike), kept)
    assert facts(back) == wanted
    assert set(map(frozenset, back.clusters)) == {c for *pair, _ in wanted for c in pair}


def test_what_texts_cannot_say(tokenizer):
    lin = typed(tokenizer, "relation-text", kind=OnePiece)

    def back(words, *found):
        doc = document(words, found).with_annotation(Annotation(found, (Relation(0, 1, "a"),)))
        return [list(c) for c in round_trip(lin, doc).clusters]

    # A text is a mention wherever it stands.
    assert back("Anna saw Ben Anna", [(0, 1)], [(2, 3)]) == [[(0, 1), (3, 4)], [(2, 3)]]
    # But not within a longer one, unless it stands nowhere else.
    found = back("old Anna saw Anna", [(0, 2)], [(3, 4)])
    assert found == [[(0, 2)], [(3, 4)]]
    assert back("old Anna saw", [(0, 2)], [(1, 2)]) == [[(0, 2)], [(1, 2)]]
    # Clusters of the same texts are one, and a relation between them is lost.
    assert back("Anna saw Anna", [(0, 1)], [(2, 3)]) == []


@pytest.mark.parametrize("name", RELATIONS)
@settings(max_examples=30, deadline=None)
@given(doc=related())
def test_gold_is_legal_within_its_own_length(tokenizer, name, doc):
    """But for what is set aside for numbers that may be longer."""
    for lin in (typed(tokenizer, name), make(tokenizer, name, **WIDE)):
        for example in examples(lin, doc):
            source = Source(example.turn.source, lin.rules.marks)
            aside = lin.max_depth * lin.rules.twin_pledge + getattr(lin, "section_pledge", 0)
            state = walks.follow(
                lin.rules, source, example.actions.tolist(), len(example.actions) + aside
            )
            assert state.mode == DONE


def section(lin, entities):
    """The state where relations may begin, behind so many clusters."""
    if lin.name == "relation-ids":
        pieces = [lin.openings[entities - 1], lin.tokenizer.eos_id] if entities else [1]
        source = Source(np.asarray(pieces, np.int32), lin.rules.marks)
        return source, automaton.initial(lin.rules, source, 10**6)
    doc = document(" ".join(UNLIKE[:entities]), [[(i, i + 1)] for i in range(entities)])
    if not entities:
        doc = document("the", [])
    (example,) = examples(lin, doc)
    source = Source(example.turn.source, lin.rules.marks)
    tokens = example.actions[:-1].tolist()
    return source, walks.follow(lin.rules, source, tokens, 10**6)


SPELLINGS = [
    ("relation-copy", Tokenizer),
    ("relation-copy", walks.Respelled),
    ("relation-copy", walks.Awkward),
    ("relation-copy", OnePiece),
    ("relation-integer-free", Tokenizer),
    ("relation-ids", Tokenizer),
]


@pytest.mark.parametrize(("name", "kind"), SPELLINGS)
@pytest.mark.parametrize("entities", range(5))
def test_every_set_of_relations_has_one_form(tokenizer, name, entities, kind):
    """As many legal outputs as there are sets of triples: nothing more, nothing less."""
    options = {"max_clusters": 4, "max_depth": 2} if kind is walks.Respelled else {}
    lin = walks.make(tokenizer, name, kind=kind, relations=("a", "b"), **options)
    source, first = section(lin, entities)
    counted: dict[automaton.State, int] = {}

    def outputs(state) -> int:
        plain = dataclasses.replace(state, slack=10**6)
        if plain not in counted:
            options = automaton.legal_tokens(lin.rules, plain, source)
            assert options or state.mode == DONE
            counted[plain] = state.mode == DONE or sum(
                outputs(automaton.step(lin.rules, plain, t, source)) for t in options
            )
        return counted[plain]

    assert outputs(first) == 2 ** (entities * max(0, entities - 1) * 2)


@pytest.mark.parametrize("name", [n for n in RELATIONS if n != "relation-text"])
@pytest.mark.parametrize("seed", range(3))
def test_legal_outputs_hold_ascending_relations(tokenizer, name, seed):
    rng, lin, count = np.random.default_rng(seed), typed(tokenizer, name), 0
    for _ in range(25):
        pieces = walks.random_source(rng, lin, 8)
        budget = len(pieces) + int(rng.integers(20, 120))
        *steps, (end, _, _) = walks.walk(rng, lin.rules, Source(pieces, lin.rules.marks), budget)
        assert end.mode == DONE
        tokens = [token for _, _, token in steps]
        found = lin.section.read(tokens[tokens.index(lin.section.start):]
                                 if lin.section.start in tokens else [])  # fmt: skip
        assert len(found) == tokens.count(lin.section.start)
        assert found == sorted(set(found))
        assert all(t.head != t.tail and max(t.head, t.tail) < end.entities for t in found)
        if name in CLUSTERS:
            word = np.append(np.arange(len(pieces) - 1), -1).astype(np.int32)
            turn = Turn("d", 0, 0, pieces, word)
            reading = lin.read(turn, Answer(np.asarray(tokens, np.int32)))
            assert len(reading.relations) == len(found)
            assert len(reading.clusters) == end.entities
            assert sum(t.total() for t in reading.types) <= sum(map(len, reading.clusters))
        count += len(found)
    assert count > 10


@pytest.mark.parametrize("name", RELATIONS)
@settings(max_examples=40, deadline=None)
@given(doc=related(max_words=12), data=st.data())
def test_any_sequence_can_be_read(tokenizer, name, doc, data):
    lin = typed(tokenizer, name, window=60)
    known = [t for t in lin.rules.inventory.ids if t >= 0]
    answers = []
    for example in examples(lin, doc):
        token = st.sampled_from(known) | st.sampled_from(example.turn.source.tolist())
        actions = data.draw(st.lists(token, max_size=40))
        if data.draw(st.booleans()):
            gold = example.actions.tolist()
            low, high = sorted(data.draw(st.integers(0, len(gold))) for _ in range(2))
            actions = [*gold[:low], *actions[:3], *gold[high:]]
        answers.append(Answer(np.asarray(actions, np.int32), np.full(len(actions), -0.5)))
    if answers:
        # The annotation is checked when it is made.
        back = drive(lin, doc, lambda asked: answers)
        assert len(set(back.relations)) == len(back.relations)
        assert all(r.type in NAMES and r.head != r.tail for r in back.relations)
        assert set(back.types or ()) <= {*TYPES, None}


def test_the_type_of_most_mentions_counts(tokenizer):
    for name in CLUSTERS:
        lin = typed(tokenizer, name)
        doc = document("Anna saw her and she", [[(0, 1), (2, 3), (4, 5)]])
        annotated = doc.with_annotation(Annotation(doc.annotation.clusters, types=("X",)))
        (example,) = examples(lin, annotated)
        x, y = map(lin.tokenizer.symbol, ("<type:X>", "<type:Y>"))
        at = np.flatnonzero(example.actions == x)
        for changed, expected in (((0,), "X"), ((1, 2), "Y"), ((0, 1, 2), "Y")):
            actions = example.actions.copy()
            actions[at[list(changed)]] = y
            assert replay(lin, doc, [actions]).types == (expected,)


@pytest.mark.parametrize("name", RELATIONS)
def test_windows_find_relations_between_the_clusters_of_the_document(tokenizer, name):
    """The clusters have mentions all along; the relations are those of each window, once."""
    even, odd = ([(i, i + 1) for i in range(first, 20, 2)] for first in (0, 1))
    sentences = [(i, i + 4) for i in range(0, 20, 4)]
    doc = document(" ".join(UNLIKE[:20]), [], sentences)
    relations = (Relation(0, 1, "a"), Relation(1, 0, "c"))
    doc = doc.with_annotation(Annotation((odd, even), relations, types=("X", "Y")))
    lin = typed(tokenizer, name, kind=OnePiece, window=30 if name == "relation-ids" else 13)
    turns = [e.turn for e in examples(lin, doc)]
    assert len(turns) > 2
    assert max(len(t.source) for t in turns) <= lin.window
    assert {w for t in turns for w in t.word.tolist()} == set(range(-1, 20))
    back = round_trip(lin, doc)
    assert facts(back) == facts(doc.annotation)
    assert len(back.relations) == 2
    kinds = dict(zip(back.clusters, back.types, strict=True))
    assert kinds == {tuple(even): "Y", tuple(odd): "X"}


@settings(max_examples=40, deadline=None)
@given(doc=related(max_words=30), window=st.integers(9, 40))
def test_marked_windows(tokenizer, doc, window):
    """They hold the text once it is stripped of the marks, which are balanced; none is too long."""
    lin = typed(tokenizer, "relation-ids", window=window)
    marked = lin.marked(doc)
    plain = lin.pieces(doc)
    covered = 0
    for turn, own in marked:
        without, found = lin._without_marks(turn)
        assert len(turn.source) <= window
        end = turn.offset + len(without.source) - 1
        assert without.source[:-1].tolist() == plain.ids[turn.offset : end].tolist()
        assert turn.offset <= covered <= end
        covered = end
        assert sorted({k for _, k in found}) == list(range(len(own)))
        for (start, stop), number in found:
            words = without.word[start:stop]
            span = int(words[words >= 0][0]), int(words[words >= 0][-1]) + 1
            assert span in doc.annotation.clusters[own[number]]
    assert covered == len(plain)


def test_marks_of_predicted_clusters_take_gold_relations_as_they_fit(tokenizer):
    lin = typed(tokenizer, "relation-ids")
    gold = STORY.annotation
    # One mention of Anna is missed, Ben is found twice, "her dog" is not found.
    predicted = STORY.with_annotation(Annotation((((5, 6),), ((0, 1),)), types=("X", "X")))
    ((turn, own),) = lin.marked(predicted)
    assert own == [1, 0]
    actions = lin.oracle(turn, gold)
    assert lin.section.read(actions.tolist()) == [Triple(0, 1, 0), Triple(0, 1, 2)]
    back = replay(lin, predicted, [actions])
    assert back == Annotation(
        predicted.annotation.clusters, (Relation(1, 0, "a"), Relation(1, 0, "c")), types=("X", "X")
    )


@pytest.mark.parametrize("name", RELATIONS)
def test_unknown_names_are_refused_with_the_document(tokenizer, name):
    lin = make(tokenizer, name, **WIDE | {"relations": ("a", "b")})
    with pytest.raises(DocumentError, match=r"document 'd': relation type 'c' is none of the 2"):
        examples(lin, STORY)
    lin = typed(tokenizer, name, entity_types=("X",))
    with pytest.raises(DocumentError, match=r"document 'd': entity type 'Y' is none of the 1"):
        examples(lin, STORY)


@pytest.mark.parametrize("name", RELATIONS)
def test_options_that_are_no_names(tokenizer, name):
    for options, message in [
        ({"relations": "P17"}, "relations is 'P17'; expected a list of names"),
        ({"relations": ["P17", ""]}, "expected a list of names"),
        ({"entity_types": ["X", "Y", "X"]}, "entity_types has 'X' more than once"),
    ]:
        with pytest.raises(ConfigError, match=message):
            symbols_of(name, options)
    bare = Tokenizer(tokenizer.model, FORMATS[name].symbols)
    with pytest.raises(ConfigError, match="no symbol '<rel:a>'"):
        get(name, bare, relations=["a"])


@pytest.mark.parametrize("name", RELATIONS)
def test_symbols_depend_on_the_options(tokenizer, name):
    fixed = FORMATS[name].symbols
    assert symbols_of(name) == fixed
    lin = typed(tokenizer, name)
    own = lin.symbols[len(fixed):]  # fmt: skip
    kinds = ["<type:X>", "<type:Y>"] if name == "relation-text" else [
        "<type>", "<type:X>", "<type:Y>"
    ]  # fmt: skip
    assert list(own) == [*kinds, "<rel:a>", "<rel:b>", "<rel:c>"]
    assert symbols_of("full-copy", {"window": 40}) == FORMATS["full-copy"].symbols


def test_the_inventory_of_documents():
    assert inventory([STORY, document("the dog"), document("the dog", [])]) == {
        "relations": ("a", "b", "c"),
        "entity_types": ("X", "Y"),
    }


def test_relations_need_clusters(tokenizer):
    lin = typed(tokenizer, "relation-ids")
    with pytest.raises(MismatchError, match="document 'd' has no clusters"):
        next(lin.turns(document("the dog")))
    with pytest.raises(ConfigError, match="expected 2 to 500"):
        make(tokenizer, "relation-ids", max_clusters=501)


def test_numbers_have_to_end_somewhere(tokenizer):
    class Doubtful(walks.Respelled):
        spellings = walks.Respelled.spellings | {"3": "1 ▁ 3"}

    with pytest.raises(ConfigError, match="behind the number 1 a piece may begin another number"):
        make(tokenizer, "relation-copy", kind=Doubtful, max_clusters=4, max_depth=2)


@pytest.mark.parametrize("name", RELATIONS)
def test_without_relation_types_none_are_written(tokenizer, name):
    lin = make(tokenizer, name, relations=())
    doc = document("the dog saw it", [[(0, 2), (3, 4)], [(2, 3)]])
    (example,) = examples(lin, doc)
    source = Source(example.turn.source, lin.rules.marks)
    state = walks.follow(lin.rules, source, example.actions[:-1].tolist())
    assert automaton.legal_tokens(lin.rules, state, source) == {lin.tokenizer.eos_id}


CEILINGS = {"relation-copy": 1.0, "relation-integer-free": 1.0, "relation-ids": 1.0}


@pytest.mark.parametrize("limit", [12, pytest.param(None, marks=pytest.mark.slow)])
def test_redocred_comes_back(shared, limit):
    from t5coref import corpora
    from t5coref.core.relation_metrics import RelationScorer

    folder = shared / "data"
    docs = [
        d for split in ("train", "dev")
        for d in itertools.islice(corpora.read(folder / f"redocred/{split}.json", "docred"), limit)
    ]  # fmt: skip
    options = inventory(docs)
    for name in RELATIONS:
        pieces = Tokenizer(folder / "t5/spiece.model", symbols_of(name, options))
        lin, scorer = get(name, pieces, **options), RelationScorer()
        for doc in docs:
            scorer.add(doc, round_trip(lin, doc))
        scores = scorer.compute()
        if name in CEILINGS:
            assert scores["re"].f1 == scores["mentions"].f1 == scores["coref"].f1 == 1.0
        else:
            assert 0.9 < scores["re"].f1 < 1.0
