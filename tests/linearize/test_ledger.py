"""The ledger of every format: legal outputs are right, what is wrong with others is counted."""

from __future__ import annotations

import numpy as np
import pytest
import walks
from formats import document
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import documents
from walks import make, walk

from t5coref.core.automaton import Source
from t5coref.core.document import Annotation, Document
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.core.ledger import ALIGNED, PASSED, READ, LedgerScorer
from t5coref.core.segment import INSERTED
from t5coref.core.transcript import COUNTS, Account
from t5coref.linearize import Answer, drive, examples, round_trip
from t5coref.linearize.audit import audit
from t5coref.linearize.base import Turn
from t5coref.linearize.questions import Questions
from t5coref.linearize.reading import Numbers

NAMES = [n for n in walks.NAMES if not issubclass(walks.FORMATS[n], Questions)]
"""Questions have closed sets of answers: there is nothing to be faithful to."""


def sorted_clusters(clusters):
    return sorted(sorted(cluster) for cluster in clusters)


def legal_outputs(rng, lin, doc):
    """Random outputs that the constraint lets through."""
    said = []

    def answer(turns: list[Turn]) -> list[Answer]:
        out = []
        for turn in turns:
            source = Source(turn.source, lin.rules.marks)
            tokens = [t for _, _, t in walk(rng, lin.rules, source, 200) if t is not None]
            out.append(Answer(np.asarray(tokens, np.int32)))
        said.extend(a.actions for a in out)
        return out

    drive(lin, doc, answer)
    return said


@pytest.fixture(scope="module")
def small(tokenizer):
    return {name: make(tokenizer, name, max_depth=4) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=12)
@given(doc=documents(max_words=12, max_mentions=8), seed=st.integers(0, 2**32 - 1))
def test_nothing_is_wrong_with_what_the_constraint_lets_through(small, name, doc, seed):
    lin, scorer = small[name], LedgerScorer()
    for outputs in (
        legal_outputs(np.random.default_rng(seed), lin, doc),
        [example.actions for example in examples(lin, doc)],
    ):
        made = audit(lin, doc, outputs)
        account = made.account
        assert account == Account(
            source=account.source, mentions=account.mentions, answered=account.mentions
        )
        assert sorted_clusters(made.aligned) == sorted_clusters(made.read)
        scorer.add(doc.annotation.clusters, made.read, made.aligned, account)
    figures = scorer.compute()
    assert (figures.exact, figures.exact_normalized, figures.passed) == (1, 1, 1)
    assert figures.passed_mentions in (None, 1)
    assert figures.scores[READ] == figures.scores[ALIGNED] == figures.scores[PASSED]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=12)
@given(doc=documents(max_words=12, max_mentions=8), seed=st.integers(0, 2**32 - 1))
def test_any_output_has_an_account(small, name, doc, seed):
    rng, lin = np.random.default_rng(seed), small[name]
    ids = [t for t in lin.rules.inventory.ids if t >= 0]
    if lin.rules.literal:
        ids = range(1, lin.tokenizer.size)
    outputs = []

    def answer(turns):
        outputs.extend(rng.choice(ids, rng.integers(0, 40)).astype(np.int32) for _ in turns)
        return [Answer(a) for a in outputs[-len(turns) :]]

    drive(lin, doc, answer)
    made = audit(lin, doc, outputs)
    account = made.account
    assert account.answered <= account.mentions
    if account.passed:
        assert sorted_clusters(made.aligned) == sorted_clusters(made.read)
    for cluster in made.aligned:
        for start, end in cluster:
            assert 0 <= start < end <= len(doc.words)


def wrong(account: Account) -> dict[str, int]:
    """The counts that are not 0, without those of what was asked."""
    asked = ("source", "mentions", "answered")
    return {n: getattr(account, n) for n in COUNTS if getattr(account, n) and n not in asked}


class Case:
    """One format, and "the she the ." in pieces: ▁t he ▁s he ▁t he ."""

    def __init__(self, tokenizer, name, gold=((0, 1), (2, 3)), **options):
        self.lin = make(tokenizer, name, **options)
        own = self.lin.tokenizer
        self.ids = {own.piece(i): i for i in range(own.size)}
        # The annotation is of interest to formats that are told the mentions.
        self.doc = document("the she the .", [list(gold)])

    def __call__(self, tokens: str):
        """What is wrong, how many mentions got a number, and the clusters after alignment."""
        actions = np.asarray([self.ids[token] for token in tokens.split()], np.int32)
        made = audit(self.lin, self.doc, [actions])
        assert made.account.passed is (not wrong_marks(made.account, self.doc))
        return wrong(made.account), made.account.answered, sorted_clusters(made.aligned)


def wrong_marks(account: Account, doc) -> bool:
    """What keeps a document from passing where the text has to be exact."""
    del doc
    marks = account.extra_marks or account.missing_marks or account.outside_ids
    return bool(marks) or not account.exact


C2, C3, C4, C5, C6, C8 = (" ".join(["<copy>"] * n) for n in (2, 3, 4, 5, 6, 8))
BOTH = [[(0, 1), (2, 3)]]
ONE = [[(0, 1)]]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (f"<m> {C2} | ▁ 0 </m> {C2} <m> {C2} | ▁ 0 </m> {C2}", ({}, 2, BOTH)),
        # Broken off: the copies of the stop and the end are missing.
        (f"<m> {C2} | ▁ 0 </m> {C4}", ({"deleted": 1, "unended": 1}, 1, ONE)),
        # 1 is no number that may begin.
        (f"<m> {C2} | ▁ 1 </m> {C6}", ({"outside_ids": 1}, 0, ONE)),
        # 9 9 is no number at all, nor is a mention without a separator.
        (f"<m> {C2} | 9 9 </m> {C6}", ({"outside_ids": 1}, 0, [])),
        (f"<m> {C2} </m> {C6}", ({"outside_ids": 1}, 0, [])),
        # Never closed.
        (f"<m> <m> {C2} | ▁ 0 </m> {C6}", ({"missing_marks": 1}, 1, ONE)),
        # Closed twice; a mention without text.
        (f"<m> {C2} | ▁ 0 </m> </m> {C6}", ({"extra_marks": 1}, 1, ONE)),
        (f"<m> | ▁ 0 </m> {C8}", ({"extra_marks": 1}, 0, [])),
        # A number that leads nowhere; pieces of numbers without a separator.
        (f"<m> {C2} | ▁ 0 <copy> | ▁ 0 </m> {C5}", ({"extra_marks": 1}, 1, None)),
        (f"▁ 0 {C8}", ({"extra_marks": 2}, 0, [])),
        # The same number twice for one span.
        (f"<m> <m> {C2} | ▁ 0 </m> | ▁ 0 </m> {C6}", ({"extra_marks": 1}, 1, ONE)),
    ],
)
def test_full_copy(tokenizer, output, expected):
    found = Case(tokenizer, "full-copy")(output)
    assert found[:2] == expected[:2]
    assert expected[2] is None or found[2] == expected[2]


TEXT = "▁t he ▁s he ▁t he ."


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("<m> ▁t he | ▁ 0 </m> ▁s he <m> ▁t he | ▁ 0 </m> . </s>", ({}, 2, BOTH)),
        # "she" is left out, "the" is written again behind the end.
        (
            "<m> ▁t he | ▁ 0 </m> <m> ▁t he | ▁ 0 </m> . ▁t he </s>",
            ({"deleted": 2, "inserted": 2, "tail": 2}, 2, BOTH),
        ),
        # Another piece in the middle of a mention of two is half of it.
        (f"<m> ▁t a | ▁ 0 </m> {TEXT[5:]} </s>",
         ({"substituted": 1, "extra_marks": 1}, 0, [])),
        # ... and of six less than a fifth.
        ("<m> ▁t he ▁s a ▁t he | ▁ 0 </m> . </s>", ({"substituted": 1}, 1, [[(0, 3)]])),
        # A separator outside of mentions is text.
        (f"{TEXT} | </s>", ({"inserted": 1, "tail": 1}, 0, [])),
        (TEXT, ({"unended": 1}, 0, [])),
        ("</s>", ({"deleted": 7}, 0, [])),
        ("", ({"deleted": 7, "unended": 1}, 0, [])),
    ],
)  # fmt: skip
def test_full_token(tokenizer, output, expected):
    assert Case(tokenizer, "full-token")(output) == expected


def test_blanks_that_differ_are_normalized(tokenizer):
    case = Case(tokenizer, "full-token")
    ids = [case.ids[t] for t in ["▁", *TEXT.split(), "</s>"]]
    account = audit(case.lin, case.doc, [np.asarray(ids, np.int32)]).account
    assert (account.exact, account.exact_normalized, account.passed) == (False, True, False)
    assert account.divergence == 0


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (f"<m> {C2} </new> {C2} <m> {C2} </m0> {C2}", ({}, 2, BOTH)),
        # No cluster 0 has begun; a new one behind it is the one after it.
        (f"<m> {C2} </m0> {C2} <m> {C2} </new> {C2}", ({"outside_ids": 1}, 1, None)),
        (f"</new> {C8}", ({"extra_marks": 1}, 0, [])),
        (f"<m> {C8}", ({"missing_marks": 1}, 0, [])),
    ],
)
def test_integer_free(tokenizer, output, expected):
    found = Case(tokenizer, "integer-free")(output)
    assert found[:2] == expected[:2]
    assert expected[2] is None or found[2] == expected[2]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (f"<m> {C2} </m> </new> {C6}", ({}, 1, ONE)),
        # An end without a cluster, twice an end, a cluster without an end.
        (f"<m> {C2} </m> {C6}", ({"extra_marks": 1, "missing_marks": 1}, 0, [])),
        (f"<m> {C2} </m> </m> </new> {C6}", ({"extra_marks": 1}, 1, ONE)),
        (f"<m> {C2} </new> {C6}", ({"extra_marks": 1, "missing_marks": 1}, 0, [])),
    ],
)
def test_integer_free_end(tokenizer, output, expected):
    assert Case(tokenizer, "integer-free-end")(output) == expected


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("<m> ▁t he | ▁ 0 </m> <m> ▁t he | ▁ 0 </m> </s>", ({}, 2, BOTH)),
        ("</s>", ({}, 0, [])),
        # "the" stands there twice and not three times: one of them is laid along "she".
        (
            "<m> ▁t he | ▁ 0 </m> <m> ▁t he | ▁ 0 </m> <m> ▁t he | ▁ 0 </m> </s>",
            ({"substituted": 1, "extra_marks": 1}, 2, BOTH),
        ),
        ("▁t he </s>", ({"inserted": 2}, 0, [])),  # outside of mentions there is no text
        ("<m> ▁t he ▁t he | ▁ 0 </m> </s>", None),
    ],
)
def test_partial_unmarked(tokenizer, output, expected):
    found, answered, clusters = Case(tokenizer, "partial-unmarked")(output)
    if expected is None:  # "the she the" with she left out: 4 of 6 pieces are too few
        assert found["extra_marks"] == 1
        assert (answered, clusters) == (0, [])
    else:
        assert (found, answered, clusters) == expected


@pytest.mark.parametrize("name", ["partial", "partial-unmarked"])
def test_mentions_may_begin_within_words_of_long_texts(tokenizer, name):
    """Where the same pieces stand many times, an alignment alone lays some of them wrongly."""
    lin = make(tokenizer, name, max_depth=4)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        words = tuple(rng.choice(["the", "she", "then", "he", "her", "."], 60).tolist())
        doc = Document(doc_id="a", words=words, sentences=((0, 60),))
        account = audit(lin, doc, legal_outputs(rng, lin, doc)).account
        assert wrong(account) == {}, seed
        assert account.exact, seed
        assert account.passed, seed


def test_partial_lacks_a_mark_of_its_sentence(tokenizer):
    case = Case(tokenizer, "partial")
    assert case("<sentence> <m> ▁t he | ▁ 0 </m> </sentence> </s>")[0] == {}
    assert case("<sentence> <m> ▁t he | ▁ 0 </m> </s>")[0] == {"deleted": 1}


def test_relations_count_too(tokenizer):
    case = Case(tokenizer, "relation-copy")
    text = f"<m> {C2} | ▁ 0 </m> <m> {C2} | ▁ 1 </m> {C3}"
    assert case(f"{text} <rel> ▁ 0 ▁ 1 <rel:a> </s>")[0] == {}
    # Cluster 2 is none; the second relation breaks off; a type stands for itself.
    assert case(f"{text} <rel> ▁ 0 ▁ 2 <rel:a> </s>")[0] == {"outside_ids": 1}
    assert case(f"{text} <rel> ▁ 0 ▁ 1 <rel:a> <rel> ▁ 0 </s>")[0] == {"extra_marks": 3}
    assert case(f"{text} <rel> ▁ 0 ▁ 1 <rel:a> <rel:b> </s>")[0] == {"extra_marks": 1}
    ids = Case(tokenizer, "relation-ids", gold=((0, 1),))
    assert ids("</s>")[0] == {}
    assert ids("<rel> <m0> <m1> <rel:a> </s>")[0] == {"outside_ids": 1}
    texts = Case(tokenizer, "relation-text")
    whole = "▁t he <;> ▁s he <type> . <type> <rel:a>"
    assert texts(f"{whole} </s>")[0] == {}
    assert texts(f"{whole} ▁t he </s>")[0] == {"extra_marks": 1}
    assert texts("▁t he <type> <rel:a> </s>")[0] == {"extra_marks": 1}
    assert texts("▁h he <type> . <type> <rel:a> </s>")[0] == {"inserted": 2}


@pytest.mark.parametrize(
    "name", ["iterative-handles", "iterative-ids", "iterative-text", "document"]
)
def test_given_mentions_are_asked_for(tokenizer, name):
    case = Case(tokenizer, name)
    outputs = {
        **dict.fromkeys(
            ("iterative-handles", "iterative-ids"),
            ("</new> <c0> </s>", "</new> </s>", "</new> <c0> <c0> </s>"),
        ),
        "iterative-text": (
            f"{C3} </new> {C5} <c0> <copy> </s>",
            f"{C3} </new> {C6} <copy> </s>",
            f"{C3} </new> <c0> {C4} <c0> <copy> </s>",
        ),
        "document": (
            "<m0> ▁t he <c0> ▁s he <m1> ▁t he <c0> . </s>",
            "<m0> ▁t he <c0> ▁s he ▁t he . </s>",
            "<m0> ▁t he <c0> ▁s he <m1> ▁t he <c0> <c0> . </s>",
        ),
    }[name]  # fmt: skip
    right, missing, extra = (
        audit(case.lin, case.doc, [np.asarray([case.ids[t] for t in o.split()], np.int32)])
        for o in outputs
    )
    assert wrong(right.account) == {}
    assert right.account.passed
    assert sorted_clusters(right.aligned) == BOTH
    assert right.account.mentions == missing.account.mentions == 2
    assert (missing.account.missing_marks, missing.account.answered) == (1, 1)
    assert not missing.account.passed
    assert extra.account.extra_marks == 1
    assert not extra.account.passed


def test_windows_of_a_document_add_up(tokenizer):
    lin = make(tokenizer, "full-copy", window=8, stride=4)
    doc = document("the she the the she .", [[(0, 1)]])
    good = [example.actions for example in examples(lin, doc)]
    assert len(good) > 1
    broken = [*good[:-1], good[-1][:-2]]
    first, second = audit(lin, doc, good), audit(lin, doc, broken)
    assert first.account.passed
    assert sorted_clusters(first.aligned) == sorted_clusters(round_trip(lin, doc).clusters)
    assert not second.account.passed
    assert second.account.divergence == len(doc.words) - 1
    assert second.account.source == first.account.source > len(doc.words) * 2 - 1
    with pytest.raises(MismatchError, match="asks for answer"):
        audit(lin, doc, good[:-1])


def test_scores_of_documents_that_fail(tokenizer):
    lin = make(tokenizer, "full-copy")
    doc = document("the she the .", [[(0, 1), (2, 3)]])
    right = examples(lin, doc)[0].actions
    broken = right[:-1]  # only the end is missing
    cut = right[:-2]
    scorer, other = LedgerScorer(), LedgerScorer()
    for to, actions in ((scorer, right), (scorer, broken), (other, cut)):
        made = audit(lin, doc, [actions])
        to.add(doc.annotation.clusters, made.read, made.aligned, made.account)
    other.add(doc.annotation.clusters, (), ())  # one without a prediction
    scorer.merge(other)
    figures = scorer.compute()
    assert (figures.documents, figures.exact, figures.passed) == (4, 0.5, 0.5)
    assert figures.counts["mentions"] == 6
    assert figures.passed_mentions == 1
    recalls = {name: s["mentions"].recall if "mentions" in s else s["conll"].recall
               for name, s in figures.scores.items()}  # fmt: skip
    # Two documents pass, a third is whole after alignment, the fourth has nothing.
    assert recalls == pytest.approx({READ: 0.5, ALIGNED: 0.75, PASSED: 1.0})


def test_numbers_that_may_be_given():
    numbers = Numbers()
    assert [numbers.admit(k) for k in (0, 0, 2, 1, 3, None, 3)] == [
        True, True, False, True, True, False, True,
    ]  # fmt: skip
    symbols = Numbers()
    said = [(0, True), (0, False), (1, False), (2, True), (0, True)]
    assert [symbols.admit(*s) for s in said] == [True, True, False, True, False]


def test_insertions_have_no_words(tokenizer):
    lin = make(tokenizer, "full-copy")
    doc = document("the she", [[(0, 1)]], speakers=("Ann", "Bo"))
    (turn,) = lin.split(doc)
    assert (turn.word[:-1] == INSERTED).any()
    made = audit(lin, doc, [np.asarray([lin.copy_id], np.int32)])
    assert made.account.divergence == 0
    bare = doc.with_annotation(Annotation())
    assert audit(lin, bare, [np.full(len(turn.source), lin.copy_id, np.int32)]).account.passed


def test_formats_of_questions_keep_none(tokenizer):
    with pytest.raises(ConfigError, match="'qa' keeps no ledger"):
        audit(make(tokenizer, "qa"), document("the she"), [])
