"""The rival of the decoding benchmark: transformers' `generate` under the published constraint.

Written as a careful user of transformers would write it: the model as it is, cached keys and
values, inference mode, float32, one `LogitsProcessor` that looks at the whole prefix at each step.
What the constraint allows is what the code of Zhang, Wiseman, Stratos ("Seq2seq is All You Need for
Coreference Resolution", EMNLP 2023) allows for the integer format with the copy action;
`tests/benchmarks/test_rival.py` compares outputs with those of the published code.

B documents, K beams, L tokens so far, S source pieces, V vocabulary.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import LogitsProcessor, LogitsProcessorList, T5ForConditionalGeneration


@dataclass(frozen=True)
class Symbols:
    """Vocabulary ids that mean something to the constraint; `digits` are the pieces of numbers."""

    open: int
    separator: int
    close: int
    copy: int
    eos: int
    digits: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer, max_clusters: int = 500) -> Symbols:
        """Those of a t5coref tokenizer, for cluster numbers below `max_clusters`."""
        pieces = {piece for k in range(max_clusters) for piece in tokenizer.encode(str(k))}
        return cls(
            open=tokenizer.symbol("<m>"),
            separator=tokenizer.encode("|")[-1],
            close=tokenizer.symbol("</m>"),
            copy=tokenizer.symbol("<copy>"),
            eos=tokenizer.eos_id,
            digits=tuple(sorted(pieces)),
        )

    @property
    def actions(self) -> list[int]:
        """Everything that the decoder is scored on."""
        return [self.open, self.separator, self.close, self.copy, *self.digits]


class ReferenceConstraint(LogitsProcessor):
    """The published constraint: its state is counted anew from the whole prefix at every step.

    Inside a number, between the separator and the closing tag, any piece of a number and the
    closing tag are allowed. Elsewhere: an opening tag, the separator if a mention is open, and the
    next source piece, which gets the score of the copy action. Where the next source piece is
    `</s>` nothing else is allowed.

    Attributes:
      calls: how often it was called, once for each call of the decoder.
    """

    def __init__(self, sources: torch.Tensor, symbols: Symbols):
        self.sources = sources  # [B, S], 0-padded
        self.symbols = symbols
        self.number_actions = torch.tensor([*symbols.digits, symbols.close], device=sources.device)
        self.calls = 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Masks `scores` [B * K, V] after the prefixes `input_ids` [B * K, L]."""
        self.calls += 1
        symbols = self.symbols
        opens = input_ids == symbols.open
        closes = input_ids == symbols.close
        separators = input_ids == symbols.separator
        number = separators.cumsum(-1) != closes.cumsum(-1)
        copied = (~(opens | closes | number)).sum(-1) - 1  # the start token is none
        in_number = number[:, -1]
        in_text = ~in_number
        in_mention = in_text & (opens.sum(-1) > separators.sum(-1))

        rows = torch.arange(len(scores), device=scores.device)
        sources = self.sources.repeat_interleave(len(scores) // len(self.sources), dim=0)
        piece = sources[rows, copied.clamp(max=sources.shape[1] - 1)]
        at_end = in_text & (piece == symbols.eos)

        allowed = torch.zeros_like(scores, dtype=torch.bool)
        allowed[:, self.number_actions] = in_number[:, None]
        allowed[:, symbols.open] = in_text & ~at_end
        allowed[:, symbols.separator] = in_mention & ~at_end
        allowed[rows, piece] |= in_text
        own_score = scores[rows, piece]
        scores[rows, piece] = torch.where(in_text, scores[:, symbols.copy], own_score)
        return scores.masked_fill_(~allowed, -torch.inf)


@dataclass(frozen=True)
class Decoded:
    """What `generate` found.

    Attributes:
      tokens: what the decoder read after the start token, one list a source, `</s>` included.
      calls: decoder calls made.
    """

    tokens: list[list[int]]
    calls: int


class Rival:
    """A T5 in Hugging Face layout that decodes batches of sources with `generate`."""

    def __init__(self, folder: str | os.PathLike[str], symbols: Symbols):
        self.symbols = symbols
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model = T5ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        self.model = model.to(self.device).eval()  # pyright: ignore[reportArgumentType]
        others = torch.ones(self.model.config.vocab_size, dtype=torch.bool, device=self.device)
        others[symbols.actions] = False
        # As in training, probabilities are those among the actions.
        self.model.lm_head.register_forward_hook(
            lambda module, inputs, logits: logits.masked_fill_(others, -torch.inf)
        )

    def decode(self, sources: Sequence[Sequence[int]], beams: int, max_steps: int) -> Decoded:
        """The best output of each source (pieces, `</s>` last), at most `max_steps` tokens long."""
        width = max(map(len, sources))
        rows = [[*source, *([0] * (width - len(source)))] for source in sources]
        input_ids = torch.tensor(rows, device=self.device)
        constraint = ReferenceConstraint(input_ids, self.symbols)
        with torch.inference_mode():
            found = self.model.generate(  # pyright: ignore[reportAttributeAccessIssue]
                input_ids=input_ids,
                attention_mask=(input_ids != 0).long(),
                logits_processor=LogitsProcessorList([constraint]),
                max_new_tokens=max_steps,
                num_beams=beams,
                length_penalty=1.0,
                early_stopping=False,
                do_sample=False,
                use_cache=True,
            )
        outputs = [self._without_padding(row) for row in found[:, 1:].tolist()]
        return Decoded(outputs, constraint.calls)

    def _without_padding(self, row: list[int]) -> list[int]:
        eos = self.symbols.eos
        return row[: row.index(eos) + 1] if eos in row else row
