"""What a reader or writer had to skip, merge or give up, counted instead of lost in silence."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, get_args

from t5coref.core.errors import FormatError

Kind = Literal[
    "documents",
    "skipped_documents",
    "unfinished_documents",
    "skipped_lines",
    "skipped_brackets",
    "discontinuous_mentions",
    "duplicate_mentions",
    "shared_mentions",
    "dropped_mentions",
    "empty_clusters",
    "mentionless_documents",
    "duplicate_relations",
    "self_relations",
    "dropped_relations",
    "unknown_relations",
    "replaced_words",
    "lost_speakers",
]
"""What is counted; docs/formats.md says for each format when."""


@dataclass(slots=True)
class Report:
    """Counts of one or several reading or writing calls, and where the first cases are.

    Attributes:
      counts: number of cases of each `Kind`; 0 where there were none.
      messages: `file:line: what happened`, the first `max_messages` of them.
      max_messages: how many messages are kept; counting goes on after that.
    """

    counts: Counter[str] = field(default_factory=Counter)
    messages: list[str] = field(default_factory=list)
    max_messages: int = 20

    def add(self, kind: Kind, message: str) -> None:
        """Counts one case."""
        self.counts[kind] += 1
        if len(self.messages) < self.max_messages:
            self.messages.append(message)

    def problems(self) -> int:
        """Number of cases that are not just documents read."""
        return sum(n for kind, n in self.counts.items() if kind != "documents")

    def summary(self) -> str:
        """The counts of all but documents, in words."""
        return ", ".join(self._counted(k) for k in get_args(Kind)[1:] if self.counts[k])

    def __str__(self) -> str:
        return ", ".join(filter(None, [self._counted("documents"), self.summary()]))

    def _counted(self, kind: Kind) -> str:
        n, name = self.counts[kind], kind.replace("_", " ")
        return f"{n:,} {name if n != 1 else name.removesuffix('s')}"


@dataclass(slots=True)
class Source:
    """One file that is being read: its name for messages, and what to do about its mistakes."""

    name: str
    lenient: bool
    report: Report

    def mistake(self, kind: Kind, line: int, message: str) -> None:
        """Counts a mistake of the file and returns, if reading is lenient.

        Raises:
          FormatError: reading is not lenient.
        """
        where = f"{self.name}:{line}: {message}"
        if not self.lenient:
            raise FormatError(where)
        self.report.add(kind, where)

    def note(self, kind: Kind, line: int, message: str) -> None:
        """Counts something that the format allows and a `Document` does not hold."""
        self.report.add(kind, f"{self.name}:{line}: {message}")
