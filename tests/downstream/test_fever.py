"""FEVER: the three forms of its files, its score, claims as rows of the head."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t5coref.core.errors import ConfigError, FormatError
from t5coref.downstream import fever
from t5coref.downstream.fever import LABELS, Claim, Evidence
from t5coref.downstream.fever_head import FeverVerification, row_of, side_by_side
from t5coref.downstream.fever_metrics import (
    Verdict,
    fever_scores,
    text_accuracy,
    write_verdicts,
)
from t5coref.downstream.text import Mistakes
from t5coref.nn.downstream.kgat import SEGMENT

KGAT = {
    "id": 7,
    "label": "REFUTES",
    "claim": "the dog saw her .",
    "evidence": [
        ["Old_House_-LRB-film-RRB-", 0, "the house -LSB- haus -RSB- -LRB- -RRB- is old .", 0.9],
        ["A-COLON-B", 3, "she saw `` him '' -- near it .", 0.2],
    ],
}


def write(tmp_path, *values, name="claims.jsonl"):
    path = tmp_path / name
    path.write_text(
        "".join((v if isinstance(v, str) else json.dumps(v)) + "\n" for v in values), "utf-8"
    )
    return str(path)


def test_symmetric(shared):
    path = shared / "data/fever_symmetric/symmetric_v0.2/fever_symmetric_dev.jsonl"
    claims = fever.read(str(path))
    assert len(claims) == 708
    assert {claim.label for claim in claims} == {"SUPPORTS", "REFUTES"}
    assert claims[1].claim == "The Cretaceous ended ."
    assert claims[1].evidence[0].text.startswith("The Cretaceous ended with a large mass")
    example = fever.text_example(claims[1])
    assert example.inputs.startswith(
        "fever claim: The Cretaceous ended . evidence: The Cretaceous ended with"
    )
    assert example.targets == "supports"


def test_the_samples_of_fever_itself(shared, tmp_path):
    archives = (shared / "data/format_samples/hf_datasets_dummy_Apache2/fever").rglob("*.zip")
    seen = {}
    for archive in archives:
        with zipfile.ZipFile(archive) as files:
            for name in files.namelist():
                if name.endswith(".jsonl") and "wiki" not in name:
                    path = tmp_path / "sample.jsonl"
                    path.write_bytes(files.read(name))
                    (seen[name.rsplit("/", 1)[1]],) = fever.read(str(path))
    assert seen["train.jsonl"].groups == (
        (("Nikolaj_Coster-Waldau", 7), ("Fox_Broadcasting_Company", 0)),
    )
    assert (seen["paper_dev.jsonl"].label, seen["paper_dev.jsonl"].groups) == (LABELS[2], ())
    assert seen["shared_task_test.jsonl"].label is None
    assert seen["fever2-fixers-dev.jsonl"].name == "500000"


def test_kgat(tmp_path):
    (claim,) = fever.read(write(tmp_path, KGAT))
    assert [(e.title, e.line) for e in claim.evidence] == [
        ("Old_House_-LRB-film-RRB-", 0), ("A-COLON-B", 3),
    ]  # fmt: skip
    assert fever.text_example(claim).inputs == (
        "fever claim: the dog saw her . evidence: Old House (film): the house is old . "
        'A:B: she saw " him " - near it .'
    )


def test_broken_lines_are_named_and_left_out(tmp_path):
    path = write(
        tmp_path, "{broken", {"claim": "x"}, KGAT, {**KGAT, "id": 8, "label": "MAYBE"},
        {**KGAT, "id": 9, "evidence": [[1, 2]]}, KGAT, [1], {"id": 10, "claim": "no label"},
    )  # fmt: skip
    mistakes = Mistakes()
    assert [claim.name for claim in fever.read(path, mistakes)] == ["7", "10"]
    found = [message.split("claims.jsonl:")[1] for message in mistakes.messages]
    assert [message.split(":")[0] for message in found] == ["1", "2", "4", "5", "6", "7"]
    assert found[1] == '2: expected an "id" and a "claim", found claim'
    assert "label 'MAYBE'; expected SUPPORTS, REFUTES" in found[2]
    assert "claim 9: evidence [[1, 2]]; expected a sentence, a list of" in found[3]
    assert "the id 7 stands there twice" in found[4]
    with pytest.raises(FormatError, match=r"claims\.jsonl:1: "):
        fever.read(path)
    with pytest.raises(FormatError, match="the file is empty"):
        fever.read(write(tmp_path, name="empty.jsonl"))


def official(gold, found):
    """The official scorer's arithmetic, claim by claim; F1 without its division by zero."""
    strict = right = 0
    precision = precision_hits = recall = recall_hits = 0.0
    for claim, verdict in zip(gold, found, strict=True):
        predicted = [list(p) for p in verdict.evidence]
        groups = [[list(p) for p in group] for group in claim.groups]
        if verdict.label.upper() == claim.label.upper():
            right += 1
            if claim.label != "NOT ENOUGH INFO":
                for group in groups:
                    if all(sentence in predicted[:5] for sentence in group):
                        strict += 1
                        break
            else:
                strict += 1
        if claim.label != "NOT ENOUGH INFO":
            everything = [sentence for group in groups for sentence in group]
            hits = [p in everything for p in predicted[:5]]
            precision += sum(hits) / len(hits) if hits else 1.0
            precision_hits += 1
            recall_hits += 1
            no_groups = not groups or all(len(group) == 0 for group in groups)
            if no_groups or any(all(s in predicted[:5] for s in group) for group in groups):
                recall += 1
    p = precision / precision_hits if precision_hits else 1.0
    r = recall / recall_hits if recall_hits else 0.0
    f1 = 2 * p * r / (p + r) if p + r else 0.0
    n = len(gold)
    return {"fever": strict / n, "accuracy": right / n, "evidence_precision": p,
            "evidence_recall": r, "evidence_f1": f1}  # fmt: skip


PLACES = st.tuples(st.sampled_from("ab"), st.integers(0, 2))
GROUPS = st.lists(st.lists(PLACES, min_size=1, max_size=3).map(tuple), max_size=3).map(tuple)
CASES = st.lists(
    st.tuples(
        st.sampled_from(LABELS), GROUPS, st.sampled_from([*LABELS, "", "supports"]),
        st.lists(PLACES, max_size=8),
    ),
    min_size=1, max_size=6,
)  # fmt: skip


@given(CASES)
def test_the_score_by_brute_force(cases):
    gold = [
        Claim(str(i), "x", label, (), () if label == LABELS[2] else groups)
        for i, (label, groups, _, _) in enumerate(cases)
    ]
    found = [Verdict(label, evidence) for _, _, label, evidence in cases]
    assert fever_scores(gold, found) == pytest.approx(official(gold, found))


def test_the_score_in_words():
    gold = [
        Claim("1", "x", "SUPPORTS", (), ((("a", 0), ("b", 1)), (("c", 2),))),
        Claim("2", "x", "NOT ENOUGH INFO"),
    ]
    filler = [("z", i) for i in range(4)]

    def score(label, evidence):
        return fever_scores(gold, [Verdict(label, evidence), Verdict("NOT ENOUGH INFO", filler)])

    assert score("SUPPORTS", [("c", 2)])["fever"] == 1.0
    assert score("SUPPORTS", [*filler, ("c", 2)])["fever"] == 1.0
    assert score("SUPPORTS", [*filler, ("z", 5), ("c", 2)])["fever"] == 0.5  # the sixth
    assert score("SUPPORTS", [("a", 0)])["fever"] == 0.5  # half a group
    assert score("REFUTES", [("c", 2)])["fever"] == 0.5
    nothing = score("SUPPORTS", filler)
    assert (nothing["evidence_f1"], nothing["accuracy"]) == (0.0, 1.0)
    with pytest.raises(ConfigError, match="1 verdicts for 2 claims"):
        fever_scores(gold, [Verdict("SUPPORTS", [])])
    with pytest.raises(ConfigError, match="claim 3 has no label"):
        fever_scores([Claim("3", "x", None)], [Verdict("SUPPORTS", [])])


def test_predictions_for_the_shared_task(tmp_path):
    claims = [Claim("7", "x", None), Claim("a8", "x", None)]
    found = [Verdict("REFUTES", [("é", i) for i in range(7)]), Verdict(LABELS[2], [])]
    write_verdicts(claims, found, tmp_path / "predictions.jsonl")
    assert [json.loads(x) for x in (tmp_path / "predictions.jsonl").read_text().splitlines()] == [
        {"id": 7, "predicted_label": "REFUTES", "predicted_evidence": [["é", i] for i in range(5)]},
        {"id": "a8", "predicted_label": "NOT ENOUGH INFO", "predicted_evidence": []},
    ]
    with pytest.raises(ConfigError, match="1 verdicts for 2 claims"):
        write_verdicts(claims, found[:1], tmp_path / "other.jsonl")


def test_labels_that_are_written(tmp_path):
    examples = fever.texts(write(tmp_path, KGAT, {"id": 8, "claim": "y"}))
    assert text_accuracy(examples, [" Refutes ", "supports"]) == {"accuracy": 100.0}
    assert text_accuracy(examples, ["refuted", "supports"]) == {"accuracy": 0.0}
    with pytest.raises(ConfigError, match="no claim has a label"):
        text_accuracy(examples[1:], ["supports"])


def test_gold_evidence_for_retrieved(tmp_path):
    claims = fever.read(write(tmp_path, KGAT))
    gold = {"id": 7, "label": "SUPPORTS", "claim": "z", "evidence": [[[1, 2, "a", 0]]]}
    (both,) = fever.with_groups(claims, fever.read(write(tmp_path, gold)))
    assert (both.label, both.groups, both.evidence) == (
        "SUPPORTS", ((("a", 0),),), claims[0].evidence,
    )  # fmt: skip
    with pytest.raises(FormatError, match="no claim 7"):
        fever.with_groups(claims, [])


def test_rows(tokenizer):
    claim = Claim("1", "the dog saw it", "REFUTES", (
        Evidence("Old_House", 1, "she saw him"), Evidence("", None, "the house"),
    ))  # fmt: skip
    row = row_of(claim, tokenizer, 130, 5)
    parts = [[*tokenizer.encode(t), 1] for t in ("the dog saw it", "Old House", "she saw him")]
    assert row.sources[0].tolist() == [x for part in parts for x in part]
    assert row.segments[0].tolist() == [1] * len(parts[0]) + [2] * len(parts[1] + parts[2])
    assert row.sources[1].tolist() == [*parts[0], *tokenizer.encode("the house"), 1]
    assert (row.label, len(row)) == (1, len(row.sources[0]))
    batch = side_by_side([row, row_of(Claim("2", "the dog", None), tokenizer, 130, 5)], 3)
    assert batch["encoder_input_tokens"].shape == batch[SEGMENT].shape == (2, 3, 64)
    there = (batch[SEGMENT] > 0).any(-1)
    assert there.tolist() == [[True, True, False], [True, False, False]]
    np.testing.assert_array_equal(batch[SEGMENT] > 0, batch["encoder_input_tokens"] > 0)


def test_long_sentences_are_cut(tokenizer):
    claim = Claim("1", "the dog", None, (Evidence("Anna", 0, "she saw him near the house " * 9),))
    row = row_of(claim, tokenizer, 40, 5)
    assert len(row) == 40
    start = [*tokenizer.encode("the dog"), 1, *tokenizer.encode("Anna"), 1]
    assert row.sources[0][: len(start)].tolist() == start
    assert row.sources[0][-1] == 1
    assert len(row_of(claim, tokenizer, 40, 1).sources) == 1


def test_files_that_do_not_serve_for_training(tmp_path):
    gold = write(tmp_path, {"id": 7, "label": "SUPPORTS", "claim": "z",
                            "evidence": [[[1, 2, "a", 0]]]}, name="gold.jsonl")  # fmt: skip
    with pytest.raises(ConfigError, match=r"names sentences without their texts.*gold_file"):
        FeverVerification(train_file=gold)
    with pytest.raises(ConfigError, match="no claim with a label"):
        FeverVerification(train_file=write(tmp_path, {"id": 1, "claim": "x"}))
    with pytest.raises(ConfigError, match="at least 16 and 1"):
        FeverVerification(train_file=gold, max_length=3)


def test_dev_scores_of_the_head(tokenizer, tmp_path):
    """The labels of the outputs, and the sentences that were read as their evidence."""
    train = write(tmp_path, KGAT, {**KGAT, "id": 8, "label": "SUPPORTS"}, {"id": "no claim"})
    gold = [
        {"id": 7, "label": "REFUTES", "claim": "z", "evidence": [[[1, 2, "A-COLON-B", 3]]]},
        {"id": 8, "label": "SUPPORTS", "claim": "z", "evidence": [[[1, 2, "Zoe", 0]]]},
    ]

    def said(rows):
        return [np.log([0.1, 0.8, 0.1]) for _ in rows]

    task = FeverVerification(train_file=train, dev_file=train)
    rows = task.rows(tokenizer)
    assert task.batch(rows, None)["label"].tolist() == [1, 0]
    assert task.batch(rows, None)[SEGMENT].shape[1] == 2  # none has more sentences
    (note,) = task.notes(rows)
    assert 'claims.jsonl:3: expected an "id" and a "claim"' in note
    score = task.scorer(tokenizer)
    assert score is not None
    assert (task.score, score(said)) == ("accuracy", {"accuracy": 0.5})

    gold_file = write(tmp_path, *gold, name="gold.jsonl")
    task = FeverVerification(train_file=train, dev_file=train, gold_file=gold_file)
    score = task.scorer(tokenizer)
    assert score is not None
    found = score(said)
    assert (task.score, found["fever"], found["accuracy"]) == ("fever", 0.5, 0.5)
    assert (found["evidence_precision"], found["evidence_recall"]) == (0.25, 0.5)
    assert FeverVerification(train_file=train).scorer(tokenizer) is None
