"""Readers of SQuAD, QUOREF and MRQA: real samples, and what is said of bad questions."""

from __future__ import annotations

import copy
import gzip
import io
import json
import zipfile

import pytest

from t5coref.core.errors import FormatError
from t5coref.downstream import mrqa, quoref, squad
from t5coref.downstream.text import Mistakes

CONTEXT = "Anna met Ben and Eve in Rome. She liked it."


def layout(*questions, context=CONTEXT):
    return {"data": [{"paragraphs": [{"context": context, "qas": list(questions)}]}]}


def asked(name, *answers, **more):
    found = [{"text": text, "answer_start": CONTEXT.index(text)} for text in answers]
    return {"id": name, "question": f"Who  is {name}?", "answers": found, **more}


def write(path, content):
    path.write_text(json.dumps(content), "utf-8")
    return str(path)


def test_squad(tmp_path):
    path = write(tmp_path / "s.json", layout(asked("q1", "Anna", "She"), asked("q2", "Rome")))
    one, two = squad.read(path)
    assert one.inputs == f"question: Who is q1? context: {CONTEXT}"
    assert (one.name, one.targets, one.references) == ("q1", "Anna", ("Anna", "She"))
    assert [CONTEXT[start:end] for start, end in one.data["answers"]] == ["Anna", "She"]
    assert two.targets == "Rome"
    assert squad.squad_metric([one, two], ["she!", "in Rome"]) == {
        "exact": 50.0,
        "f1": pytest.approx(100 * (1 + 2 / 3) / 2),
    }


def test_squad2_has_questions_without_an_answer(tmp_path):
    none = asked("q1", is_impossible=True, plausible_answers=[{"text": "x", "answer_start": 9}])
    path = write(tmp_path / "s.json", layout(none, asked("q2", "Rome", is_impossible=False)))
    examples = list(squad.read(path))
    assert [e.targets for e in examples] == [squad.NO_ANSWER, "Rome"]
    assert examples[0].references == ()
    assert squad.squad2_metric(examples, ["unanswerable", "Rome"]) == {"exact": 100.0, "f1": 100.0}


def test_quoref(tmp_path):
    path = write(tmp_path / "q.json", layout(asked("q1", "Eve", "Anna"), asked("q2", "Ben")))
    one, two = quoref.read(path)
    assert one.targets == "Anna | Eve"
    assert one.references == (("Eve", "Anna"),)
    assert quoref.answer_of(one.targets) == ["Anna", "Eve"]
    assert quoref.answer_of(" | ") == []
    found = quoref.quoref_metric([one, two], ["Eve|Anna", "Ben | Eve"])
    assert found == {"exact": 50.0, "f1": 75.0}


def test_blanks_before_an_answer_are_passed_over(tmp_path):
    question = asked("q1", "Ben")
    question["answers"][0]["answer_start"] -= 1
    (one,) = quoref.read(write(tmp_path / "q.json", layout(question)))
    assert [CONTEXT[start:end] for start, end in one.data["answers"]] == ["Ben"]


def without(question, key):
    return {k: v for k, v in question.items() if k != key}


def moved(question, start):
    question = copy.deepcopy(question)
    question["answers"][0]["answer_start"] = start
    return question


BAD = [
    (moved(asked("bad", "Ben"), 3), "question bad: expected the answer 'Ben' at character 3"),
    (moved(asked("bad", "Ben"), -4), "question bad: expected the answer 'Ben' at character -4"),
    (moved(asked("bad", "Ben"), 4000), "question bad: expected the answer 'Ben' at character 4000"),
    (moved(asked("bad", "Ben"), "9"), 'question bad: expected "answer_start" to be a number'),
    (without(asked("bad", "Ben"), "answers"), 'question bad: no "answers"'),
    (without(asked("bad", "Ben"), "question"), 'question bad: no "question"'),
    (without(asked("bad", "Ben"), "id"), 'paragraph 1, question 2: no "id"'),
    (asked("q1", "Ben"), "question 2: id 'q1' was there before"),
    (asked("bad"), "question bad: no answer"),
    ("bad", "question 2: expected an object, got 'bad'"),
]


@pytest.mark.parametrize(("question", "message"), BAD, ids=range(len(BAD)))
@pytest.mark.parametrize("reader", [squad.read, quoref.read])
def test_a_bad_question_is_named_and_the_others_are_read(tmp_path, reader, question, message):
    path = write(tmp_path / "s.json", layout(asked("q1", "Anna"), question, asked("q3", "Rome")))
    with pytest.raises(FormatError) as raised:
        list(reader(path))
    assert message in str(raised.value)
    mistakes = Mistakes()
    assert [example.name for example in reader(path, mistakes)] == ["q1", "q3"]
    assert mistakes.messages == [str(raised.value)]


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "expected JSON"), ("{}", 'expected JSON with a list "data"'), ("[]", '"data"')],
)
def test_files_of_another_format(tmp_path, text, message):
    path = tmp_path / "s.json"
    path.write_text(text)
    for reader in (squad.read, quoref.read):
        with pytest.raises(FormatError, match=message):
            list(reader(str(path), Mistakes()))


def test_paragraphs_without_a_context_are_left_out(tmp_path):
    content = layout(asked("q1", "Anna"))
    content["data"] += [{"paragraphs": [{"qas": []}]}, {}]
    mistakes = Mistakes()
    path = write(tmp_path / "s.json", content)
    assert len(list(squad.read(path, mistakes))) == 1
    assert [message.partition(": ")[2] for message in mistakes.messages] == [
        'article 2, paragraph 1: no "context"; there are qas',
        'article 3: expected a list "paragraphs"',
    ]


def test_unanswered_questions(tmp_path):
    path = write(tmp_path / "s.json", layout(without(asked("q1"), "answers"), asked("q2", "Ben")))
    for reader in (squad.read_questions, quoref.read_questions):
        found = list(reader(path))
        assert [(e.name, e.references, e.targets) for e in found] == [
            ("q1", (), ""),
            ("q2", (), ""),
        ]


TOKENS = [["Anna", 0], ["met", 5], ["Ben", 9], ["and", 13], ["Eve", 17]]


def multi(name="m1", **changes):
    detected = {"text": "Ben and Eve", "char_spans": [[9, 19]], "token_spans": [[2, 4]]}
    return {
        "qid": name,
        "question": "Whom did Anna meet?",
        "answers": ["Eve and Ben", "Ben and Eve"],
        "detected_answers": [detected | changes],
    }


def jsonl(path, *questions, head=True):
    lines = [json.dumps({"header": {"dataset": "X", "split": "dev"}})] * head
    record = {"context": CONTEXT, "context_tokens": TOKENS, "qas": list(questions)}
    text = "\n".join([*lines, json.dumps(record)]) + "\n"
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, "utf-8")
    return str(path)


@pytest.mark.parametrize("name", ["m.jsonl", "m.jsonl.gz"])
@pytest.mark.parametrize("head", [True, False])
def test_mrqa(tmp_path, name, head):
    (one,) = mrqa.read(jsonl(tmp_path / name, multi(), head=head))
    assert (one.name, one.targets) == ("m1", "Ben and Eve")
    assert one.references == ("Eve and Ben", "Ben and Eve")
    assert one.data["answers"] == [[9, 20]]


def test_case_of_detected_answers_may_differ(tmp_path):
    (one,) = mrqa.read(jsonl(tmp_path / "m.jsonl", multi(text="BEN and Eve")))
    assert one.targets == "Ben and Eve"


BAD_SPANS = [
    ({"char_spans": [[9, 20]]}, "expected 'Ben and Eve' at characters 9 to 20, the last included"),
    ({"char_spans": [[9, 900]]}, "at characters 9 to 900"),
    ({"char_spans": [[19, 9]]}, "at characters 19 to 9"),
    ({"char_spans": [[9]]}, "span [9]; expected [first, last]"),
    ({"char_spans": []}, 'no "char_spans"'),
    ({"token_spans": [[2, 3]]}, "\"token_spans\" of 'Ben and Eve' are at the characters [(9, 15)]"),
    ({"token_spans": [[2, 9]]}, "token span (2, 9); there are 5 tokens"),
    ({"text": ""}, '"text" is empty'),
]


@pytest.mark.parametrize(("changes", "message"), BAD_SPANS, ids=range(len(BAD_SPANS)))
def test_wrong_spans_of_mrqa(tmp_path, changes, message):
    path = jsonl(tmp_path / "m.jsonl", multi("ok"), multi("bad", **changes), multi("fine"))
    mistakes = Mistakes()
    assert [example.name for example in mrqa.read(path, mistakes)] == ["ok", "fine"]
    (found,) = mistakes.messages
    assert f"{path}:2: question bad: " in found
    assert message in found


def test_lines_that_are_not_json_are_left_out(tmp_path):
    path = tmp_path / "m.jsonl"
    jsonl(path, multi())
    with path.open("a") as file:
        file.write('{"context": \n\n["x"]\n')
    mistakes = Mistakes()
    assert len(list(mrqa.read(str(path), mistakes))) == 1
    assert [m.removeprefix(str(path))[:12] for m in mistakes.messages] == [
        ":3: not JSON", ":5: expected"
    ]  # fmt: skip


def test_halves_are_the_same_for_everybody(tmp_path):
    path = tmp_path / "m.jsonl"
    texts = [f"{CONTEXT} {i}" for i in range(5)]
    for i, text in enumerate(texts):
        record = {
            "context": text,
            "context_tokens": TOKENS,
            "qas": [multi(f"a{i}"), multi(f"b{i}")],
        }
        with path.open("a") as file:
            file.write(json.dumps(record) + "\n")
    first = {example.name for example in mrqa.read_first_half(str(path))}
    second = {example.name for example in mrqa.read_second_half(str(path))}
    assert first == {"a0", "b0", "a2", "b2"}
    assert first | second == {f"{x}{i}" for x in "ab" for i in range(5)}
    assert not first & second


def test_real_quoref(shared):
    mistakes = Mistakes()
    examples = list(quoref.read(str(shared / "data/quoref/dev.json"), mistakes))
    assert (len(examples), mistakes.messages) == (216, [])
    assert sum(len(e.references[0]) > 1 for e in examples) == 14
    gold = [example.targets for example in examples]
    assert quoref.quoref_metric(examples, gold) == {"exact": 100.0, "f1": 100.0}
    sample = shared / "data/format_samples/allennlp-models_Apache2/rc/quoref_sample.json"
    assert len(list(quoref.read(str(sample)))) == 4


def test_real_squad(shared):
    examples = list(squad.read(str(shared / "data/xquad_en_squad/xquad.en.json")))
    assert len(examples) == 1190
    gold = [example.targets for example in examples]
    assert squad.squad_metric(examples, gold) == {"exact": 100.0, "f1": 100.0}
    sample = shared / "data/format_samples/allennlp-models_Apache2/rc/squad.json"
    assert len(list(squad.read(str(sample)))) == 5


def test_real_mrqa(shared, tmp_path):
    samples = shared / "data/format_samples"
    examples = list(mrqa.read(str(samples / "MRQA_MIT/NewsQA_sample.jsonl")))
    assert len(examples) == 17
    for example in examples:
        start, end = example.data["answers"][0]
        assert example.data["context"][start:end] == example.targets
    stored = samples / "hf_datasets_dummy_Apache2/mrqa/dummy/plain_text/1.1.0/dummy_data.zip"
    read = 0
    with zipfile.ZipFile(io.BytesIO(stored.read_bytes())) as archive:
        for name in archive.namelist():
            content = archive.read(name)
            if content.startswith(b"{"):
                path = tmp_path / "part.jsonl"
                path.write_bytes(content)
                read += len(list(mrqa.read(str(path))))
    assert read == 67
