"""Formats that say one symbol for each marked mention: what is written, and what comes back."""

from __future__ import annotations

import functools
import itertools

import hypothesis
import numpy as np
import pytest
import walks
from formats import clusters, document, mentions, spans
from hypothesis import given, settings
from hypothesis import strategies as st
from searches import HashModel, rows_of, run_greedy, width_of
from strategies import UNLIKE, documents

from t5coref.core import automaton
from t5coref.core.automaton import DONE, Source
from t5coref.core.document import Annotation, Document
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.core.given_mentions import GIVEN, PREDICTED, with_mentions
from t5coref.core.ledger import LedgerScorer
from t5coref.core.transcript import Account, account
from t5coref.decode import draft
from t5coref.decode.constraint import Tables
from t5coref.linearize import FORMATS, Answer, examples, replay, round_trip
from t5coref.linearize.iterative import Iterative
from t5coref.tokenizer import Tokenizer
from t5coref.train.batches import collator

make = functools.cache(walks.make)
NAMES = [name for name, format_ in FORMATS.items() if issubclass(format_, Iterative)]
WIDE = {"window": 400, "max_depth": 16, "max_clusters": 30}


def first_clusters(doc: Document):
    """The mentions that can be marked, a span in the first of its clusters alone."""
    found = {}
    for start, end, cluster in mentions(doc, in_sentences=False):
        found[start, end] = min(cluster, found.get((start, end), cluster))
    return [(*span, cluster) for span, cluster in found.items()]


def pieces_of(lin, text):
    known = {s: lin.tokenizer.symbol(s) for s in lin.symbols} | {"</s>": lin.tokenizer.eos_id}
    out = []
    for word in text.split():
        out += [known[word]] if word in known else lin.tokenizer.encode(word)
    return out


# (source, scored, read) of "the dog saw it", "C" = one `<copy>` for each piece of a word.
SOURCE = "<m0> the dog </m> saw <m1> it </m> </s>"
SHOWN = {
    "iterative-handles": ("</new> <c0> </s>", "<c0> <c0> </s>"),
    "iterative-ids": ("</new> <c0> </s>", "<c0> <c0> </s>"),
    "iterative-text": (None, "<m0> the dog <c0> saw <m1> it <c0> </s>"),
    "document": (
        "<m0> the dog <c0> saw <m1> it <c0> </s>",
        "<m0> the dog <c0> saw <m1> it <c0> </s>",
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_the_dog_saw_it(tokenizer, name):
    lin = make(tokenizer, name)
    (example,) = examples(lin, document("the dog saw it", [[(0, 2), (3, 4)]]))
    scored, read = SHOWN[name]
    source = pieces_of(lin, SOURCE)
    assert example.turn.source.tolist() == source
    assert walks.fed_first(example.feeds).tolist() == pieces_of(lin, read)
    if name == "iterative-handles":
        assert example.feeds[:, 1].tolist() == pieces_of(lin, "<m1> </s> </s>")
    if scored is None:
        symbol = lin.tokenizer.symbol
        said = iter([symbol("</new>"), symbol("<c0>")])
        wanted = [next(said) if p == lin.close else symbol("<copy>") for p in source[:-1]]
        assert example.actions.tolist() == [*wanted, lin.tokenizer.eos_id]
    else:
        assert example.actions.tolist() == pieces_of(lin, scored)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(doc=documents(), nulls=st.booleans())
def test_every_marked_mention_comes_back_in_its_cluster(tokenizer, name, doc, nulls):
    lin = make(tokenizer, name, nulls=nulls, **WIDE)
    assert spans(round_trip(lin, doc)) == clusters(first_clusters(doc))


def marked_spans(lin, doc):
    return {span for window in lin.marked(doc) for span in window.spans}


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(doc=documents(max_words=40), window=st.integers(10, 40), carry=st.booleans())
def test_windows(tokenizer, name, doc, window, carry):
    """What some window marks comes back, in a part of its cluster, with or without carrying."""
    lin = make(tokenizer, name, window=window, max_clusters=6, max_depth=4, carry=carry)
    found = examples(lin, doc)
    assert all(len(e.turn.source) <= window for e in found)
    for e in found:
        assert e.actions[: len(e.turn.forced)].tolist() == e.turn.forced.tolist()
    back = round_trip(lin, doc)
    assert {(s, e) for s, e, _ in back.mentions()} == marked_spans(lin, doc)
    gold = {(s, e): c for s, e, c in first_clusters(doc)}
    for cluster in back.clusters:
        assert len({gold[span] for span in cluster}) == 1
    assert replay(lin, doc, [e.actions for e in found]) == back
    assert back == round_trip(
        make(tokenizer, name, window=window, max_clusters=6, max_depth=4), doc
    )


@pytest.mark.parametrize("name", NAMES)
def test_carried_windows_begin_with_what_was_said(tokenizer, name):
    doc = document(" ".join(UNLIKE[:20]), [[(i, i + 1) for i in range(0, 20, 2)], [(1, 2)]])
    doc = with_mentions(doc, [(i, i + 1) for i in range(20)], GIVEN)
    lin = make(tokenizer, name, window=60, max_clusters=12, carry=True, nulls=True)
    forced = [len(e.turn.forced) for e in examples(lin, doc)]
    assert len(forced) > 2
    assert all(forced[1:])
    assert all(lin.null in e.turn.forced for e in examples(lin, doc)[1:])
    assert spans(round_trip(lin, doc)) == spans(doc.annotation)


ENDING_TOGETHER = Document(
    doc_id="together",
    words=("the", "the", "the", "the", "saw", "Anna", "Anna", "house", "the"),
    sentences=((0, 1), (1, 9)),
    speakers=("Ann", "Ann", "Ann", None, "Ann", None, "Ann", "Ann", "Ann"),
    annotation=Annotation((((0, 1), (0, 2), (5, 6), (7, 8)), ((6, 8),))),
)
"""A window ends between the closing marks of "house" and "Anna house": it holds the inner one."""

KNOWING = [name for name in NAMES if name != "document"]


@pytest.mark.parametrize("name", KNOWING)
@settings(max_examples=15, deadline=None)
@hypothesis.example(doc=ENDING_TOGETHER, nulls=False)
@given(doc=documents(max_words=40), nulls=st.booleans())
def test_with_a_memory_windows_find_the_clusters_of_the_document(tokenizer, name, doc, nulls):
    """All that is marked comes back, as in one window, however far apart the mentions lie."""
    options = {"window": 170, "max_clusters": 100, "max_depth": 4, "nulls": nulls}
    lin = make(tokenizer, name, memory=140, carry=True, **options)
    marked = marked_spans(lin, doc)
    wanted = clusters([m for m in first_clusters(doc) if m[:2] in marked])
    assert spans(round_trip(lin, doc)) == wanted
    found = examples(lin, doc)
    assert all(len(e.turn.source) <= 170 for e in found)
    for e in found:
        assert e.actions[: len(e.turn.forced)].tolist() == e.turn.forced.tolist()
        source, tokens = Source(e.turn.source, lin.rules.marks), e.actions.tolist()
        assert walks.follow(lin.rules, source, tokens, len(tokens)).mode == DONE
        state = automaton.initial(lin.rules, source, len(tokens))
        for token, feed in zip(tokens, e.feeds.tolist(), strict=True):
            fed = automaton.feed(lin.rules, state, token, source)
            beside = automaton.beside(lin.rules, state, token, source)
            assert ([fed, beside] if lin.rules.mixed else fed) == feed
            state = automaton.step(lin.rules, state, token, source)
        made, _ = account(lin.transcript(e.turn, Answer(e.actions)))
        assert (made.exact, made.passed, made.answered) == (True, True, made.mentions)
    assert replay(lin, doc, [e.actions for e in found]) == round_trip(lin, doc)


def test_the_line_of_known_clusters(tokenizer):
    """Large clusters first, each by its longest mention, as many as there is room for."""
    gold = [[(0, 1), (3, 4)], [(1, 2)], [(4, 6), (6, 7), (18, 19)]]
    doc = document(" ".join(UNLIKE[:20]), gold)

    def lines(memory):
        lin = make(
            tokenizer, "iterative-ids", window=50 + memory, max_clusters=90, carry=True,
            memory=memory,
        )  # fmt: skip
        assert round_trip(lin, doc).clusters == doc.annotation.clusters or memory < 20
        turn = examples(lin, doc)[-1].turn
        end = turn.source.tolist().index(lin.tokenizer.symbol("<known>"))
        return turn.known, "".join(map(lin.tokenizer.piece, turn.source[: end + 1].tolist()))

    assert lines(60) == (((4, 6), (0, 1), (1, 2)), "<c0>▁and▁she<c1>▁the<c2>▁dog<known>")
    known, line = lines(10)
    assert known == ((4, 6),)
    assert line == "<c0>▁and▁she<known>"
    for options in ({"carry": False, "memory": 20}, {"memory": 3}, {"memory": 60}):
        with pytest.raises(ConfigError, match="memory"):
            walks.make(tokenizer, "iterative-ids", window=40, **{"carry": True, **options})
    with pytest.raises(ConfigError, match="may name 10 clusters"):
        walks.make(tokenizer, "iterative-ids", memory=20, carry=True, max_clusters=10)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(doc=documents(), nulls=st.booleans())
def test_gold_is_legal_and_has_the_steps_of_the_shortest_output(tokenizer, name, doc, nulls):
    lin = make(tokenizer, name, nulls=nulls)
    assert lin.rules.exact
    assert lin.rules.recites == (name in ("iterative-text", "document"))
    for example in examples(lin, doc):
        source = Source(example.turn.source, lin.rules.marks)
        tokens = example.actions.tolist()
        assert walks.follow(lin.rules, source, tokens, len(tokens)).mode == DONE


def test_no_other_format_recites_or_is_exact(tokenizer):
    for name in walks.BRACKETS:
        assert not walks.make(tokenizer, name).rules.recites
        assert not walks.make(tokenizer, name).rules.exact


ROWS, WIDTH, DRAFT = 24, 20, 8


def stripped(lin, feeds):
    """An output's text: no symbols of clusters, no marks, no `</s>`."""
    other = {lin.new, lin.null, lin.close, lin.tokenizer.eos_id, *lin.clusters, *lin.openings}
    return [t for t in feeds.tolist() if t not in other]


@pytest.mark.parametrize("name", NAMES)
def test_any_model_says_one_symbol_for_each_mention_and_the_text_of_the_source(tokenizer, name):
    """EM and Pass are 100 % with random logits; only symbols are chosen, text is fed in blocks."""
    lin, rng = make(tokenizer, name, nulls=True, **WIDE), np.random.default_rng(3)
    turns = []
    while len(turns) < ROWS:
        words = rng.choice(UNLIKE, 8).tolist()
        cuts = sorted(rng.choice(9, 6).tolist())
        nested = {(cuts[0], cuts[5]), (cuts[1], cuts[2]), (cuts[1], cuts[3]), (cuts[4], cuts[5])}
        doc = document(" ".join(words), [[span] for span in nested if span[0] < span[1]])
        turns += [t for t in lin.split(doc) if len(t.source) <= 60]
    sources = [t.source for t in turns]
    steps = max(map(len, sources))
    least = [len(s) if lin.rules.recites else 1 + int((s == lin.close).sum()) for s in sources]
    rows = rows_of(sources, [60] * ROWS, steps)
    model = HashModel.random(rng, lin, ROWS)
    args = model, Tables.of(lin.rules), rows, draft.empty(), steps, width_of(lin), (DRAFT,)
    found, _ = run_greedy(*args)
    said = 0
    for row, turn in enumerate(turns):
        actions = np.asarray(found.actions[row, 0, : int(found.lengths[row, 0])])
        log_probs = np.asarray(found.log_probs[row, 0, : len(actions)])
        assert len(actions) == least[row]
        answered = list(lin.slots(turn, Answer(actions, log_probs)))
        _, marked = lin.without_marks(turn)
        assert [a.slot for a in answered] == list(range(len(marked)))
        if lin.rules.recites:
            text = lin.feeds(turn, actions)
            assert stripped(lin, text) == stripped(lin, turn.source)
            at_marks = np.isin(turn.source, lin.rules.marks)
            assert not log_probs[~at_marks].any()
        reading = lin.read(turn, Answer(actions, log_probs))
        real = [a for a in answered if a.token != lin.null]
        assert sum(map(len, reading.clusters)) == len(real)
        assert len(reading.confidences) == len(real)
        said += len(real)
    assert said > ROWS
    if lin.rules.recites:
        # A call ends before its tokens do only where a symbol was not foreseen.
        slots = [int((s == lin.close).sum()) for s in sources]
        assert found.calls <= max(
            n + 1 + len(s) // DRAFT for n, s in zip(slots, sources, strict=True)
        )


@pytest.mark.parametrize("name", NAMES)
def test_proposed_mentions_that_are_none(tokenizer, name):
    doc = document("the dog saw it and she", [[(0, 2), (3, 4)]])
    proposed = with_mentions(doc, [(0, 2), (3, 4), (1, 2), (5, 6)], PREDICTED)
    nulls, plain = make(tokenizer, name, nulls=True, **WIDE), make(tokenizer, name, **WIDE)
    assert spans(round_trip(nulls, proposed)) == spans(doc.annotation)
    assert spans(round_trip(plain, proposed)) == [[(0, 2), (3, 4)], [(1, 2)], [(5, 6)]]
    pairs = make(tokenizer, name, min_mentions=2, **WIDE)
    assert spans(round_trip(pairs, proposed)) == spans(doc.annotation)
    # A gold mention that was not proposed is not asked about.
    missed = with_mentions(doc, [(0, 2)], PREDICTED)
    assert spans(round_trip(nulls, missed)) == [[(0, 2)]]


@pytest.mark.parametrize("name", NAMES)
def test_no_mention_is_lost_because_there_are_too_many(tokenizer, name):
    """Windows are divided before symbols run out."""
    doc = document(" ".join(["it"] * 520), [[(i, i + 1)] for i in range(520)])
    lin = make(tokenizer, name, window=6000, max_clusters=500)
    assert sum(len(w.spans) == 0 for w in lin.marked(doc)) == 0
    assert spans(round_trip(lin, doc)) == spans(doc.annotation)
    doc = document(" ".join(["it"] * 40), [[(i, i + 1)] for i in range(40)])
    few = make(tokenizer, name, window=400, max_clusters=3)
    assert 1 < max(len(w.spans) for w in few.marked(doc)) <= 3
    assert spans(round_trip(few, doc)) == spans(doc.annotation)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), name=st.sampled_from(NAMES))
def test_any_sequence_can_be_read(tokenizer, seed, name):
    lin, rng = make(tokenizer, name, nulls=True), np.random.default_rng(seed)
    doc = document("the dog saw it", [[(0, 2), (3, 4)], [(0, 4)]])
    (turn,) = lin.split(doc)
    alphabet = [*turn.source.tolist(), *lin.answers - {None}, lin.copy_id or 0]
    actions = rng.choice(alphabet, rng.integers(0, 60)).astype(np.int32)
    reading = lin.read(turn, Answer(actions))
    found = [span for cluster in reading.clusters for span in cluster]
    assert len(set(found)) == len(found)
    assert set(found) <= {(0, 2), (3, 4), (0, 4)}
    assert walks.fed_first(lin.feeds(turn, actions)).shape == actions.shape


def test_text_that_is_not_that_of_the_source_is_aligned(tokenizer):
    lin = make(tokenizer, "document", **WIDE)
    doc = document("the old dog saw it and she gave him the house", [[(0, 3), (4, 5)], [(6, 7)]])
    (example,) = examples(lin, doc)
    gold = example.actions.tolist()
    for change in (
        gold[3:],  # the beginning is lost
        [*gold[:4], *gold[5:]],  # a piece is
        [*gold[:4], gold[2], *gold[4:]],  # one too many
        [*gold[:-1], gold[3], gold[2], gold[-1]],  # at the end
    ):
        back = replay(lin, doc, [np.asarray(change, np.int32)])
        assert spans(back) == spans(doc.annotation)
    # Without its symbol a mention has no cluster.
    at = gold.index(lin.clusters[1])
    back = replay(lin, doc, [np.asarray([*gold[:at], *gold[at + 1 :]], np.int32)])
    assert spans(back) == [[(0, 3), (4, 5)]]


def test_what_text_counts_in_training(tokenizer):
    doc = document("the dog saw it", [[(0, 2), (3, 4)]])
    for weight in (0.0, 0.1, 1.0):
        lin = walks.make(tokenizer, "iterative-text", text_weight=weight)
        (example,) = examples(lin, doc)
        weights = collator(lin.rules)([example]).features["decoder_loss_weights"][0]
        is_text = example.actions == lin.copy_id
        wanted = np.where(is_text, np.float32(weight), np.float32(1))
        np.testing.assert_array_equal(weights[: len(wanted)], wanted)
        assert not weights[len(wanted) :].any()
    with pytest.raises(ConfigError, match="copies count 2"):
        walks.make(tokenizer, "iterative-text", text_weight=2)


@pytest.mark.parametrize("name", NAMES)
def test_a_document_without_mentions_or_text(tokenizer, name):
    lin = make(tokenizer, name)
    assert round_trip(lin, Document(doc_id="e", words=(), annotation=Annotation())) == Annotation()
    assert round_trip(lin, document("the dog", [])) == Annotation()
    with pytest.raises(MismatchError, match="document 'd' gives no mentions"):
        next(lin.turns(document("the dog")))
    with pytest.raises(ConfigError, match="expected 1 to 500"):
        walks.make(tokenizer, name, max_clusters=501)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(doc=documents(), nulls=st.booleans(), window=st.integers(20, 60))
def test_the_ledger_of_gold_is_clean_and_its_three_scores_are_one(
    tokenizer, name, doc, nulls, window
):
    lin = make(tokenizer, name, nulls=nulls, window=window, max_clusters=6, max_depth=4)
    scorer, total = LedgerScorer(), Account()
    placed = []
    for example in examples(lin, doc):
        made, found = account(lin.transcript(example.turn, Answer(example.actions)))
        assert made == Account(source=made.source, mentions=made.answered, answered=made.answered)
        total += made
        placed.append(sorted(found))
        reading = lin.read(example.turn, Answer(example.actions))
        assert len(found) == sum(map(len, reading.clusters))
    back = round_trip(lin, doc)
    scorer.add(doc.annotation.clusters, back.clusters, back.clusters, total)
    scores = scorer.compute().scores
    assert scores["conll"] == scores["conll_sa"] == scores["conll_passed"]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), name=st.sampled_from(NAMES))
def test_any_sequence_has_a_ledger(tokenizer, seed, name):
    lin, rng = make(tokenizer, name, nulls=True), np.random.default_rng(seed)
    doc = document("the dog saw it", [[(0, 2), (3, 4)], [(0, 4)]])
    (turn,) = lin.split(doc)
    gold = lin.oracle(turn, doc.annotation)
    alphabet = [*turn.source.tolist(), *lin.answers, *gold.tolist()]
    actions = gold.copy()
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(0, len(actions)))
        changed = [[], [rng.choice(alphabet)], [rng.choice(alphabet), actions[at]]]
        actions = np.asarray([*actions[:at], *changed[rng.integers(0, 3)], *actions[at + 1 :]])
    made, placed = account(lin.transcript(turn, Answer(actions.astype(np.int32))))
    assert made.mentions == 3
    assert made.passed == (not (made.extra_marks or made.missing_marks or made.outside_ids))
    assert made.answered + made.missing_marks >= 3 - made.outside_ids
    assert len(placed) <= 3


def test_what_a_ledger_counts(tokenizer):
    """Each change of a gold output where it belongs."""
    doc = document("the dog saw it", [[(0, 2), (3, 4)]])

    def changed(name, edit, **options):
        lin = make(tokenizer, name, **options)
        (turn,) = lin.split(doc)
        actions = edit(lin, lin.oracle(turn, doc.annotation).tolist())
        return account(lin.transcript(turn, Answer(np.asarray(actions, np.int32))))[0]

    # A symbol too few, one too many, one that nothing has begun.
    made = changed("iterative-ids", lambda lin, a: [a[0], a[-1]])
    assert (made.missing_marks, made.answered, made.passed, made.exact) == (1, 1, False, True)
    made = changed("iterative-ids", lambda lin, a: [*a[:-1], a[0], a[-1]])
    assert (made.extra_marks, made.answered, made.passed) == (1, 2, False)
    made = changed("iterative-ids", lambda lin, a: [a[0], lin.clusters[3], a[-1]])
    assert (made.outside_ids, made.passed) == (1, False)
    made = changed("iterative-ids", lambda lin, a: a[:-1])
    assert (made.unended, made.passed) == (1, True)
    # A symbol in the place of a piece, a copy in that of a symbol.
    made = changed("iterative-text", lambda lin, a: [*a[:2], lin.new, *a[3:]])
    assert (made.deleted, made.extra_marks, made.exact) == (1, 1, False)
    close = lambda lin, a: a.index(lin.new)  # noqa: E731
    made = changed("iterative-text", lambda lin, a: [lin.copy_id if t == lin.new else t for t in a])
    assert (made.missing_marks, made.outside_ids, made.exact) == (1, 1, True)
    assert changed("iterative-text", lambda lin, a: a[: close(lin, a)]).unended == 1
    # Text that is not there; the mention's own text is spoilt.
    made = changed("document", lambda lin, a: [*a[:-1], a[1], a[-1]])
    assert (made.inserted, made.tail, made.passed) == (1, 1, True)
    made = changed("document", lambda lin, a: [a[0], *a[2:]])
    assert (made.deleted, made.passed) == (1, False)
    made = changed("document", lambda lin, a: [t for t in a if t not in lin.number_of])
    assert (made.missing_marks, made.extra_marks, made.exact) == (2, 2, True)


CORPORA = {
    "litbank": "litbank/conll/*.conll",
    "gum": "gum/*/*.conllu",
    "ontogum": "ontogum/*/*.conllu",
}


@pytest.mark.parametrize("limit", [2, pytest.param(None, marks=pytest.mark.slow)])
@pytest.mark.parametrize("corpus", CORPORA)
def test_corpora_come_back(shared, corpus, limit):
    """Whole documents do, and of long ones every mention in a part of its cluster."""
    from t5coref import corpora

    files = sorted((shared / "data").glob(CORPORA[corpus]))[:limit]
    if not files:
        pytest.skip(f"no {CORPORA[corpus]} in {shared / 'data'}")
    name = "iterative-ids"
    pieces = Tokenizer(shared / "data/t5/spiece.model", FORMATS[name].symbols)
    whole, cut = FORMATS[name](pieces, window=20000), FORMATS[name](pieces, window=600)
    for doc in itertools.chain.from_iterable(corpora.read(f, corpus) for f in files):
        wanted = clusters(first_clusters(doc))
        if len(whole.marked(doc)) == 1:  # one of GUM has more mentions than there are handles
            assert spans(round_trip(whole, doc)) == wanted
        home = {span: i for i, cluster in enumerate(wanted) for span in cluster}
        back = round_trip(cut, doc)
        for cluster in back.clusters:
            assert len({home[span] for span in cluster}) == 1
        assert {(s, e) for s, e, _ in back.mentions()} == marked_spans(cut, doc)
