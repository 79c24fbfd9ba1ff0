"""GLUE: nine tasks on sentences and pairs of them, and its diagnostic set, from their own files.

Wang et al. 2019, "GLUE: a multi-task benchmark and analysis platform for natural language
understanding". The files are those of gluebenchmark.com: tab-separated, never quoted, a header
everywhere but in CoLA's train and dev. Columns are found by their names, which are not the same for
all splits. The text form has the prefixes and words of Raffel et al. 2020, appendix D.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from t5coref.core.errors import ConfigError, FormatError
from t5coref.corpora.files import display_name, lines
from t5coref.downstream.text import Mistakes, TextExample

Label = int | float | None
"""The class; the score, of STS-B; None where the file has none, as test files do."""

NO_CLASS = -1
"""Of a text that is no answer; test files of some distributions have it as their label."""


@dataclass(frozen=True)
class GlueTask:
    """One of the tasks.

    Attributes:
      name: as in T5's mixtures.
      folder: of its files.
      prefix: before the texts of the text form; the diagnostic set is read as MNLI.
      texts: what T5 calls each text -> the columns that have it, the first one found counts.
      words: `[C]` how T5 writes the classes; empty for scores.
      codes: `[C]` how the files write them.
      metrics: names of its metrics, see `glue_metrics`.
      submission: name of its file on the leaderboard.
      label_columns: where the label is, the first one found counts.
      headless: columns of files without a header.
    """

    name: str
    folder: str
    prefix: str
    texts: tuple[tuple[str, tuple[str, ...]], ...]
    words: tuple[str, ...]
    codes: tuple[str, ...]
    metrics: tuple[str, ...]
    submission: tuple[str, ...]
    label_columns: tuple[str, ...] = ("label",)
    headless: tuple[str, ...] = ()

    @property
    def classes(self) -> int:
        """How many there are; 1 = a score."""
        return max(len(self.words), 1)

    def target(self, label: Label) -> str:
        """The label as T5 writes it; scores are rounded to multiples of 0.2."""
        if label is None or label == NO_CLASS:
            return ""
        return self.words[int(label)] if self.words else f"{round(label * 5) / 5:.1f}"

    def label(self, text: str) -> int | float:
        """The label that a model has written; `NO_CLASS` for what is none."""
        text = text.strip()
        if self.words:
            return self.words.index(text) if text in self.words else NO_CLASS
        try:
            return float(text)
        except ValueError:
            return NO_CLASS


def _pair(one: str = "sentence1", other: str = "sentence2") -> Any:
    return ((one, (one,)), (other, (other,)))


_ENTAILMENT = ("entailment", "not_entailment")
_NLI = ("entailment", "neutral", "contradiction")
_NLI_TEXTS = (("hypothesis", ("sentence2", "Hypothesis")), ("premise", ("sentence1", "Premise")))
_PARAPHRASE = (("sentence1", ("#1 String",)), ("sentence2", ("#2 String",)))
_SENTENCE = (("sentence", ("sentence",)),)
_BOTH = ("0", "1")

# MRPC: in some copies of Microsoft's files the byte order mark is spelt out.
TASKS: Mapping[str, GlueTask] = {
    task.name: task
    for task in (
        GlueTask("cola", "CoLA", "cola", _SENTENCE, ("unacceptable", "acceptable"), _BOTH,
                 ("matthews",), ("CoLA",), headless=("source", "label", "star", "sentence")),
        GlueTask("sst2", "SST-2", "sst2", _SENTENCE, ("negative", "positive"), _BOTH,
                 ("accuracy",), ("SST-2",)),
        GlueTask("mrpc", "MRPC", "mrpc", _PARAPHRASE, ("not_equivalent", "equivalent"), _BOTH,
                 ("f1", "accuracy"), ("MRPC",), label_columns=("Quality", "BOMQuality")),
        GlueTask("stsb", "STS-B", "stsb", _pair(), (), (), ("pearson", "spearman"), ("STS-B",),
                 label_columns=("score",)),
        GlueTask("qqp", "QQP", "qqp", _pair("question1", "question2"),
                 ("not_duplicate", "duplicate"), _BOTH, ("f1", "accuracy"), ("QQP",),
                 label_columns=("is_duplicate",)),
        GlueTask("mnli", "MNLI", "mnli", _NLI_TEXTS, _NLI, _NLI, ("accuracy",),
                 ("MNLI-m", "MNLI-mm"), label_columns=("gold_label",)),
        GlueTask("qnli", "QNLI", "qnli", _pair("question", "sentence"), _ENTAILMENT, _ENTAILMENT,
                 ("accuracy",), ("QNLI",)),
        GlueTask("rte", "RTE", "rte", _pair(), _ENTAILMENT, _ENTAILMENT, ("accuracy",), ("RTE",)),
        GlueTask("wnli", "WNLI", "wnli", _pair(), ("not_entailment", "entailment"), _BOTH,
                 ("accuracy",), ("WNLI",)),
        GlueTask("ax", "AX", "mnli", _NLI_TEXTS, _NLI, _NLI, ("matthews",), ("AX",),
                 label_columns=("gold_label", "Label")),
    )
}  # fmt: skip
"""The nine tasks and the diagnostic set, in the order of the leaderboard's report."""

_ROW_COLUMNS = ("index", "id")


def task_of(name: str) -> GlueTask:
    """The task of a name.

    Raises:
      ConfigError: there is none.
    """
    if name not in TASKS:
        raise ConfigError(f"GLUE has no task {name!r}; it has {', '.join(TASKS)}")
    return TASKS[name]


@dataclass(frozen=True)
class GlueReader:
    """Reads files of one task; equal for equal names.

    Attributes:
      name: of the task.
    """

    name: str

    def __call__(self, path: str, mistakes: Mistakes | None = None) -> list[TextExample]:
        """The rows of a file as text-to-text examples.

        `data` has `texts`, in T5's order; `label`, a class or a score or None; `row`, what the file
        calls the row (its `index` or `id`, else its number from 0 on).

        Args:
          path: of a split of the task.
          mistakes: collects rows that cannot be read, which are left out; None = the first is
            raised.

        Raises:
          FormatError: a row cannot be read, or a column is missing.
          ConfigError: GLUE has no such task.
        """
        return list(_examples(task_of(self.name), path, mistakes))


def _examples(
    task: GlueTask, path: str | os.PathLike[str], mistakes: Mistakes | None
) -> Iterator[TextExample]:
    rows = ((number, line.split("\t")) for number, line in lines(path) if line.strip())
    name = display_name(path)
    first = next(rows, None)
    if first is None:
        raise FormatError(f"{name}: the file is empty; expected the rows of {task.folder}")
    header = first[1]
    bodies: Iterable[tuple[int, list[str]]] = rows
    if task.headless and not _has_all(task, header):
        header, bodies = list(task.headless), _joined(first, rows)
    places = _places(task, header, name)
    for count, (number, cells) in enumerate(bodies):
        where = f"{name}:{number}"
        if len(cells) != len(header):
            # A cell is never quoted, so this is how a row with a line end in it looks, too.
            Mistakes.report(
                mistakes, f"{where}: {len(cells)} columns; expected {len(header)} as in the header"
            )
            continue
        texts = [cells[place].strip() for place in places.texts]
        if not any(texts):
            Mistakes.report(mistakes, f"{where}: no text in it; expected {len(texts)}")
            continue
        label: Label = None
        if places.label is not None:
            try:
                label = _label(task, cells[places.label].strip())
            except ValueError as error:
                Mistakes.report(mistakes, f"{where}: {error}")
                continue
        row = cells[places.row].strip() if places.row is not None else str(count)
        yield _example(task, row, texts, label)


def _example(task: GlueTask, row: str, texts: Sequence[str], label: Label) -> TextExample:
    named = (f"{name}: {text}" for (name, _), text in zip(task.texts, texts, strict=True))
    target = task.target(label)
    return TextExample(
        name=f"{task.name}-{row}",
        inputs=f"{task.prefix} {' '.join(named)}",
        targets=target,
        references=(target,) if target else (),
        data={"texts": list(texts), "label": label, "row": row},
    )


def split_mrpc(
    examples: Sequence[TextExample], path: str, dev_ids: str
) -> tuple[list[TextExample], list[TextExample]]:
    """Train and dev of MRPC from Microsoft's own train file, which has no dev part.

    Args:
      examples: all of that file, none left out.
      path: of it, for the columns `#1 ID` and `#2 ID`.
      dev_ids: a file with the two ids of a pair in each line, which GLUE's scripts fetch.

    Raises:
      FormatError: the file has no ids, or other rows than the examples.
    """
    rows = [line.split("\t") for _, line in lines(path) if line.strip()]
    header = rows[0] if rows else []
    if not {"#1 ID", "#2 ID"} <= set(header) or len(rows) != len(examples) + 1:
        raise FormatError(f"{path}: expected the columns #1 ID and #2 ID, and a row an example")
    columns = header.index("#1 ID"), header.index("#2 ID")
    wanted = {tuple(line.split("\t")[:2]) for _, line in lines(dev_ids)}
    train: list[TextExample] = []
    dev: list[TextExample] = []
    for example, cells in zip(examples, rows[1:], strict=True):
        (dev if tuple(cells[c] for c in columns) in wanted else train).append(example)
    return train, dev


@dataclass(frozen=True)
class _Places:
    texts: tuple[int, ...]
    label: int | None
    row: int | None


def _places(task: GlueTask, header: Sequence[str], name: str) -> _Places:
    texts = []
    for text, columns in task.texts:
        place = _first(columns, header)
        if place is None:
            raise FormatError(
                f"{name}: no column {' or '.join(columns)} for the {text} of {task.folder}; the "
                f"header has {', '.join(header)[:120]}"
            )
        texts.append(place)
    return _Places(tuple(texts), _first(task.label_columns, header), _first(_ROW_COLUMNS, header))


def _first(names: Sequence[str], header: Sequence[str]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _has_all(task: GlueTask, header: Sequence[str]) -> bool:
    return all(_first(columns, header) is not None for _, columns in task.texts)


def _joined(
    first: tuple[int, list[str]], rest: Iterable[tuple[int, list[str]]]
) -> Iterator[tuple[int, list[str]]]:
    yield first
    yield from rest


def _label(task: GlueTask, code: str) -> Label:
    if not task.words:
        score = float(code) if _is_number(code) else -1.0
        if not 0 <= score <= 5:
            raise ValueError(f"score {code!r}; expected a number from 0 to 5")
        return score
    if code in task.codes:
        return task.codes.index(code)
    if code == str(NO_CLASS):
        return None
    raise ValueError(f"label {code!r}; expected {' or '.join(task.codes)}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
