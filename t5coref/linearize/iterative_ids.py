"""iterative-ids: the source has its mentions marked, the output is one symbol for each.

For "the dog saw it": `<m0> the dog </m> saw <m1> it </m> </s>` gives `</new> <c0> </s>`, of which
the decoder reads `<c0> <c0> </s>`. The symbols come in the order of the closing marks. With `sets`
links may stand before a symbol, see `id_sets`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

import numpy as np

from t5coref.core.document import Annotation
from t5coref.core.transcript import Transcript
from t5coref.linearize import id_sets
from t5coref.linearize.base import Actions, Answer, Turn
from t5coref.linearize.iterative import Iterative, Slot
from t5coref.linearize.known_clusters import known
from t5coref.linearize.reading import Reading, tokens


class IterativeIds(Iterative):
    """The cluster of each mention that is marked in the source, and nothing else."""

    name = "iterative-ids"
    has_sets: ClassVar[bool] = True

    @property
    def copy_id(self) -> None:
        """No text is written."""
        return

    def look_up(self) -> None:
        """See `Iterative.look_up`; says how long outputs may be where links make them longer."""
        super().look_up()
        if self.sets:  # a link for each mention, on average
            self.longest = (1 + id_sets.COST) * (self.max_mentions + 1)

    def slots(self, turn: Turn, answer: Answer) -> Iterator[Slot]:
        """The k-th symbol up to `</s>` is that of the k-th slot; others are skipped."""
        slot, count = 0, int((turn.source == self.close).sum())
        links: list[tuple[int, int]] = []
        before = self.tokenizer.eos_id
        for token, log_prob in tokens(answer):
            if token == self.tokenizer.eos_id or slot == count:
                return
            if self.is_element(before, token):
                links.append((before, token))
            elif token in self.answers:
                yield Slot(slot, token, log_prob, tuple(links))
                slot += 1
                links.clear()
            before = token

    def oracle(self, turn: Turn, gold: Annotation) -> Actions:
        """See `Windowed.oracle`; with `sets`, split antecedents as links."""
        actions = super().oracle(turn, gold)
        return self._with_links(turn, gold, actions.tolist()) if self.sets else actions

    def _with_links(self, turn: Turn, gold: Annotation, symbols: list[int]) -> Actions:
        """The symbols of the mentions, each behind the links that can be written with it first."""
        home = self.clusters_of(turn, gold)
        slots = [home[handle] for _, handle in self.without_marks(turn)[1]]
        begun, entities = self.named(turn, gold), len(known(turn))
        left, out = set(gold.split), []
        for slot, token in enumerate(symbols):
            own = slots[slot] if slot < len(slots) else None
            if token != self.null and slot < len(slots):
                number = self._numbered(token, entities)
                entities = max(entities, number + 1)
                if own is not None:
                    begun[own] = number
            if own is not None and slot >= len(turn.forced):
                # A cluster once, should two be elements of each other.
                here = {a if b == own else b: (a, b) for a, b in left if own in (a, b)}
                for other in sorted(begun.keys() & here.keys(), key=begun.__getitem__):
                    of, in_ = self.linking
                    out += [of if here[other][0] == own else in_, self.clusters[begun[other]]]
                    left.remove(here[other])
            out.append(token)
        return np.asarray(out, np.int32)

    def read(self, turn: Turn, answer: Answer) -> Reading:
        """See `Iterative.read`; links are split antecedents."""
        reading, names = super().read(turn, answer), known(turn)
        links = list(self._links(turn, self.slots(turn, answer)))
        numbers, clusters = list(reading.numbers), reading.clusters
        # Clusters of the line that no mention of the window belongs to.
        linked = {number for a, b, _ in links for number in (a, b)}
        for number in sorted(linked.difference(numbers)):
            if number < len(names):
                numbers.append(number)
                clusters.append([names[number]])
        place = {number: i for i, number in enumerate(numbers)}
        split = {
            (place[a], place[b])
            for a, b, legal in links
            if legal and a != b and a in place and b in place
        }
        return reading._replace(split=sorted(split))

    def _links(self, turn: Turn, said: Iterable[Slot]) -> Iterator[tuple[int, int, bool]]:
        """(anaphor, antecedent, whether it might be written) of the links of an output."""
        entities = len(known(turn))
        for slot in said:
            number = self._numbered(slot.token, entities)
            floor = 0
            for symbol, token in slot.links:
                other = self.cluster_number[token]
                legal = slot.token != self.null and floor <= other < entities
                of = symbol == self.linking[0]
                yield (number, other, legal) if of else (other, number, legal)
                floor = other + 1
            if slot.token != self.null:
                entities = max(entities, number + 1)

    def transcript(self, turn: Turn, answer: Answer) -> Transcript:
        """See `Windowed.transcript`; the text is that of the source."""
        without, marked = self.without_marks(turn)
        said = list(self.slots(turn, answer))
        written = answer.actions.tolist()
        ended = self.tokenizer.eos_id in written
        count = written.index(self.tokenizer.eos_id) if ended else len(written)
        pairs = self.pairs(turn, ((*marked[s.slot][0], s.token) for s in said))
        links = [legal for *_, legal in self._links(turn, said)]
        return self.laid_out(
            turn,
            without.source[:-1],
            pairs,
            stray=count - len(said) - 2 * len(links),
            outside=links.count(False),
            ended=ended,
        )
