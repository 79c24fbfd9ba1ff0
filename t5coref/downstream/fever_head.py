"""FEVER with the kernel graph attention network on the encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from t5coref.core.errors import ConfigError, MismatchError
from t5coref.downstream import fever
from t5coref.downstream.fever import EVIDENCE, LABELS, Claim, Evidence
from t5coref.downstream.fever_metrics import Verdict, fever_scores
from t5coref.downstream.head_model import HeadModel, outputs
from t5coref.downstream.head_objective import Outputs, Score
from t5coref.downstream.head_rows import digest, left_out, padded, shortened
from t5coref.downstream.text import Mistakes
from t5coref.nn.downstream.kgat import LABEL, SEGMENT, KernelGraphAttention
from t5coref.tokenizer import Tokenizer


@dataclass(frozen=True, eq=False)
class ClaimRow:
    """A claim with each piece of its evidence.

    Attributes:
      name: what messages call it.
      sources: `[E]` of `int32[T]` pieces: the claim, the title and the sentence, each with `</s>`.
      segments: `[E]` of `int32[T]`, 1 for the claim, 2 for the evidence.
      label: a class; None = not known.
    """

    name: str
    sources: tuple[np.ndarray, ...]
    segments: tuple[np.ndarray, ...]
    label: int | None

    def __len__(self) -> int:
        return max(map(len, self.sources))


class FeverVerification:
    """A `HeadTask`: claims are supported, refuted, or neither, by up to five sentences.

    Args:
      train_file: claims with labels and sentences, of KGAT or FEVER-Symmetric.
      dev_file: the same; None = nothing is evaluated.
      gold_file: FEVER's own file of the dev claims, for the FEVER score, which then says which
        model is the best; None = the accuracy does.
      max_length: pieces of a claim with one sentence, the `</s>` of each part included.
      evidence: sentences that are read, the best first.
      kernel_count: see `KernelGraphAttention`.
      hidden_dim: see `KernelGraphAttention`.

    Raises:
      ConfigError: a file has no claim with a label and a sentence.
      FormatError: a file as a whole breaks the format.
    """

    name = "fever"

    def __init__(
        self,
        *,
        train_file: str,
        dev_file: str | None = None,
        gold_file: str | None = None,
        max_length: int = 130,
        evidence: int = EVIDENCE,
        kernel_count: int = 21,
        hidden_dim: int = 128,
    ):
        if max_length < 16 or evidence < 1:
            raise ConfigError(
                f"max_length {max_length} and evidence {evidence}; expected at least 16 and 1"
            )
        self.head = KernelGraphAttention(len(LABELS), kernel_count, hidden_dim)
        self.score = "accuracy" if gold_file is None else "fever"
        self.max_length, self.evidence = max_length, evidence
        self._mistakes = Mistakes()
        self._train = self._read(train_file)
        self._dev = self._read(dev_file) if dev_file is not None else []
        if gold_file is not None:
            self._dev = fever.with_groups(self._dev, fever.read(gold_file, self._mistakes))
        # All batches have room for as many sentences, so that there is one program a length.
        most = max((len(claim.evidence) for claim in [*self._train, *self._dev]), default=1)
        self._room = min(most, evidence)

    @property
    def data(self) -> Mapping[str, Any]:
        """What prediction needs."""
        return {"max_length": self.max_length, "evidence": self.evidence}

    @property
    def settings(self) -> Mapping[str, Any]:
        """What a resumed run must share."""
        seen = {"train": digest(self._train), "dev": digest(self._dev)}
        return {**self.data, "score": self.score, **seen}

    def rows(self, tokenizer: Tokenizer) -> list[ClaimRow]:
        """The claims of the training file."""
        return [row_of(c, tokenizer, self.max_length, self.evidence) for c in self._train]

    def batch(
        self, rows: Sequence[ClaimRow], random: np.random.Generator | None
    ) -> dict[str, np.ndarray]:
        """Pieces, segments and labels."""
        del random
        labels = np.asarray([row.label for row in rows], np.int32)
        return {**side_by_side(rows, self._room), LABEL: labels}

    def scorer(self, tokenizer: Tokenizer) -> Score | None:
        """The accuracy on the dev claims, and the FEVER score where there is gold evidence."""
        if not self._dev:
            return None
        rows = [row_of(c, tokenizer, self.max_length, self.evidence) for c in self._dev]

        def score(computed: Outputs) -> dict[str, float]:
            verdicts = [
                _verdict(claim, output)
                for claim, output in zip(self._dev, computed(rows), strict=True)
            ]
            found = fever_scores(self._dev, verdicts)
            return found if self.score == "fever" else {"accuracy": found["accuracy"]}

        return score

    def notes(self, rows: Sequence[ClaimRow]) -> tuple[str, ...]:
        """What was left out of the files."""
        del rows
        return left_out(self._mistakes)

    def _read(self, path: str) -> list[Claim]:
        claims = []
        for claim in fever.read(path, self._mistakes):
            if claim.groups:
                raise ConfigError(
                    f"{path} names sentences without their texts, as FEVER's own files do; "
                    "expected claims with retrieved sentences (docs/downstream.md says where those "
                    "are); FEVER's file can be the gold_file"
                )
            if claim.label is not None:
                claims.append(claim)
        if not claims:
            raise ConfigError(f"{path}: no claim with a label; expected a train or dev file")
        return claims


def verify(model: HeadModel, claims: Sequence[Claim], *, batch_size: int = 16) -> list[Verdict]:
    """Labels for claims with sentences, which are the verdicts' evidence.

    Raises:
      MismatchError: the model was trained for something else.
    """
    if model.task != FeverVerification.name:
        raise MismatchError(f"the model is one for {model.task}; expected one for fever")
    length, evidence = model.data["max_length"], model.data["evidence"]
    rows = [row_of(claim, model.tokenizer, length, evidence) for claim in claims]

    def batch(rows: Sequence[ClaimRow], random: Any) -> dict[str, np.ndarray]:
        del random
        return side_by_side(rows, evidence)

    found = outputs(model, rows, batch, batch_size=batch_size)
    return [_verdict(claim, output) for claim, output in zip(claims, found, strict=True)]


def row_of(claim: Claim, tokenizer: Tokenizer, max_length: int, evidence: int) -> ClaimRow:
    """A claim as pieces; one without sentences is read with an empty one.

    T5 has no `[SEP]`: `</s>` ends each part. The longest part loses its last pieces where all are
    too long.
    """
    sources, segments = [], []
    for found in claim.evidence[:evidence] or (Evidence("", None, ""),):
        parts = [fever.plain(claim.claim), fever.plain_title(found.title), fever.plain(found.text)]
        pieces = [tokenizer.encode(part) for part in parts if part]
        lengths = shortened([len(part) for part in pieces], max_length - len(pieces))
        cut = [[*p[:n], tokenizer.eos_id] for p, n in zip(pieces, lengths, strict=True)]
        source = [piece for part in cut for piece in part]
        sources.append(np.asarray(source, np.int32))
        segments.append(np.asarray([1] * len(cut[0]) + [2] * (len(source) - len(cut[0])), np.int32))
    label = None if claim.label is None else LABELS.index(claim.label)
    return ClaimRow(f"claim {claim.name}", tuple(sources), tuple(segments), label)


def side_by_side(rows: Sequence[ClaimRow], room: int) -> dict[str, np.ndarray]:
    """Pieces and segments `[B, E, T]` of claims, E = `room`."""
    nothing = np.zeros(0, np.int32)

    def stacked(of_rows: list[tuple[np.ndarray, ...]]) -> np.ndarray:
        flat = padded([x for row in of_rows for x in (*row, *[nothing] * (room - len(row)))])
        return flat.reshape(len(of_rows), room, -1)

    return {
        "encoder_input_tokens": stacked([row.sources for row in rows]),
        SEGMENT: stacked([row.segments for row in rows]),
    }


def _verdict(claim: Claim, output: np.ndarray) -> Verdict:
    places = [(e.title, e.line) for e in claim.evidence if e.line is not None]
    return Verdict(LABELS[int(np.argmax(output))], places)
