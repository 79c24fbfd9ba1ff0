"""Text with names in place of pronouns, and where everything has gone.

The rules, which docs/python.md shows with examples:

* A pronoun is replaced by the representative mention of its cluster; with `every_mention` so is
  every other mention that is not the representative one. Clusters of pronouns alone stay.
* A mention inside the representative mention of its own cluster stays; so do reflexive pronouns.
* Of mentions to be replaced that overlap, the one that begins first counts, and of those the
  longest: outer mentions take what is within them along. So nothing is replaced twice.
* In what is put in, pronouns are replaced as well, once: by the representative mentions as they
  stand. One stays if its name speaks of the entity that is being named.
* A possessive is replaced by a possessive.
* A name has a capital letter where a sentence begins, or where a pronoun had one; an article that
  had one for the same reason loses it elsewhere.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from t5coref.api.entities import Mention
from t5coref.api.pronouns import Pronouns, bare
from t5coref.core.document import Span

if TYPE_CHECKING:
    from t5coref.api.prediction import Prediction

_OPENING = frozenset({'"', "“", "‘", "``", "«", "„", "'", "(", "["})
"""Words behind which a sentence may begin within a sentence."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """A mention and what stands in its place.

    Attributes:
      mention: in the original text.
      representative: the mention that names its entity.
      start: offset of the new text in the resolved one.
      end: offset behind it.
    """

    mention: Mention
    representative: Mention
    start: int
    end: int


@dataclass(frozen=True)
class Resolved:
    """A text with names in place of other mentions.

    Offsets between the original and this text can be translated either way. All that was not
    replaced is there character by character; a position inside something that was replaced, or
    inside what replaced it, counts as its beginning.

    Attributes:
      text: the new text.
      replacements: what was replaced, in order; none overlap.
    """

    text: str
    replacements: tuple[Replacement, ...]

    def __str__(self) -> str:
        return self.text

    def resolved(self, position: int) -> int:
        """A position of the original text in this one."""
        return _moved(position, self._old, self._new)

    def original(self, position: int) -> int:
        """A position of this text in the original one."""
        return _moved(position, self._new, self._old)

    def resolved_span(self, start: int, end: int) -> Span:
        """The smallest span of this text that has all that became of a span of the original."""
        return self.resolved(start), _moved_end(end, self._old, self._new)

    def original_span(self, start: int, end: int) -> Span:
        """The smallest span of the original that has all that a span of this text was made of."""
        return self.original(start), _moved_end(end, self._new, self._old)

    @cached_property
    def _old(self) -> list[Span]:
        return [r.mention.char_span for r in self.replacements]

    @cached_property
    def _new(self) -> list[Span]:
        return [(r.start, r.end) for r in self.replacements]


def _moved(position: int, of: Sequence[Span], to: Sequence[Span]) -> int:
    """Where a position lies after spans have changed, which keep their order."""
    last = bisect.bisect_right(of, position, key=lambda span: span[0]) - 1
    if last < 0:
        return position
    if position < of[last][1]:
        return to[last][0]
    return position - of[last][1] + to[last][1]


def _moved_end(position: int, of: Sequence[Span], to: Sequence[Span]) -> int:
    """The same for what ends there: inside a span that changed, it counts as its end."""
    last = bisect.bisect_left(of, position, key=lambda span: span[0]) - 1
    if last < 0:
        return position
    return max(position - of[last][1], 0) + to[last][1]


def resolve(prediction: Prediction, *, every_mention: bool) -> Resolved:
    """The text of a prediction with names in place of other mentions.

    Args:
      prediction: whose pronouns are known.
      every_mention: replace all mentions but the representative ones, not pronouns alone.
    """
    return _Resolver(prediction, every_mention).resolved()


@dataclass(frozen=True, slots=True)
class _Place:
    """A mention that is to be replaced, and the number of its cluster."""

    mention: Mention
    cluster: int


class _Resolver:
    """Resolves one text."""

    def __init__(self, prediction: Prediction, every_mention: bool):
        assert prediction.pronouns is not None
        self._prediction, self._document = prediction, prediction.document
        self._pronouns: Pronouns = prediction.pronouns
        # Tokenized text stays tokenized: an ending is a word of its own.
        self._before_ending = "" if self._document.word_offsets is not None else " "
        self._begins = {start for start, _ in self._document.sentences}
        self._names: dict[int, Mention] = {}
        self._full_names: dict[int, str] = {}
        everything, wanted = [], []
        for c, cluster in enumerate(prediction.clusters):
            everything += [_Place(mention, c) for mention in cluster]
            name = cluster.representative
            if name.pronoun:
                continue
            self._names[c] = name
            wanted += [
                _Place(m, c)
                for m in cluster
                if (m.pronoun or every_mention)
                and not _within(m.span, name.span)
                and bare(m.text) not in self._pronouns.reflexive
            ]
        self._everything, self._wanted = _in_order(everything), _in_order(wanted)
        self._speaks_of = {c: self._clusters_within(name) for c, name in self._names.items()}

    def resolved(self) -> Resolved:
        """The whole text."""
        text, parts, replacements = self._prediction.text, [], []
        at = length = 0
        for place in _without_overlaps(self._wanted):
            mention = place.mention
            new = self._fitted(place, self._full_name(place.cluster))
            if new == mention.text:
                continue
            kept = text[at : mention.start_char]
            start = length + len(kept)
            length = start + len(new)
            parts += [kept, new]
            name = self._names[place.cluster]
            replacements.append(Replacement(mention, name, start, length))
            at = mention.end_char
        return Resolved("".join([*parts, text[at:]]), tuple(replacements))

    def _full_name(self, cluster: int) -> str:
        """The name of an entity, with the mentions in it replaced once."""
        if cluster in self._full_names:
            return self._full_names[cluster]
        name = self._names[cluster]
        inside = [
            place
            for place in _between(self._wanted, name.span)
            if place.mention.span != name.span and cluster not in self._speaks_of[place.cluster]
        ]
        text, parts, at = self._prediction.text, [], name.start_char
        for place in _without_overlaps(inside):
            plain = self._names[place.cluster]
            fitted = self._fitted(place, self._uncapitalized(plain, plain.text))
            parts += [text[at : place.mention.start_char], fitted]
            at = place.mention.end_char
        full = self._uncapitalized(name, "".join([*parts, text[at : name.end_char]]))
        self._full_names[cluster] = full
        return full

    def _fitted(self, place: _Place, name: str) -> str:
        """A name as the place of a mention asks for it: possessive, capital letter, one line."""
        name = " ".join(name.split())
        for ending in self._pronouns.endings:
            name = name.removesuffix(ending).rstrip() or name
        if self._possessive(place.mention):
            name += self._before_ending + self._pronouns.ending(name)
        return _capitalized(name) if self._wants_capital(place.mention) else name

    def _possessive(self, mention: Mention) -> bool:
        word, pronouns = bare(mention.text), self._pronouns
        if not mention.pronoun:
            return mention.text.endswith(pronouns.endings)
        if word not in pronouns.undecided:
            return word in pronouns.possessive
        if self._document.pos is not None and self._document.pos[mention.start].startswith("PRP"):
            return self._document.pos[mention.start] == "PRP$"
        after = mention.end
        if after == len(self._document.words) or after in self._begins:
            return False
        following = self._document.words[after].lower()
        no_noun = pronouns.after_object | pronouns.possessive | pronouns.undecided
        return following[0].isalnum() and following not in no_noun

    def _wants_capital(self, mention: Mention) -> bool:
        first = mention.text[0]
        if not first.isupper():
            return False
        # One capital letter alone, such as I, says nothing of its place.
        return self._begins_sentence(mention) or bool(
            mention.pronoun and len(bare(mention.text)) > 1
        )

    def _begins_sentence(self, mention: Mention) -> bool:
        start = mention.start
        return start in self._begins or self._document.words[start - 1] in _OPENING

    def _uncapitalized(self, mention: Mention, name: str) -> str:
        """A name without the capital letter that its article owes to the place of the mention."""
        first = "".join(name.split()[:1])
        if first.lower() not in self._pronouns.articles or first[1:].isupper():
            return name
        return name[0].lower() + name[1:] if self._begins_sentence(mention) else name

    def _clusters_within(self, name: Mention) -> set[int]:
        return {place.cluster for place in _between(self._everything, name.span)}


def _capitalized(name: str) -> str:
    return name[:1].upper() + name[1:]


def _within(inner: Span, outer: Span) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def _in_order(places: Iterable[_Place]) -> list[_Place]:
    """By their beginnings, outer ones first; equal spans by their clusters."""
    return sorted(places, key=lambda p: (p.mention.start, -p.mention.end, p.cluster))


def _between(places: Sequence[_Place], span: Span) -> list[_Place]:
    """Those within a span."""
    first = bisect.bisect_left(places, span[0], key=lambda p: p.mention.start)
    last = bisect.bisect_left(places, span[1], key=lambda p: p.mention.start)
    return [place for place in places[first:last] if place.mention.end <= span[1]]


def _without_overlaps(places: Iterable[_Place]) -> list[_Place]:
    """The first of each that overlap."""
    kept: list[_Place] = []
    for place in places:
        if not kept or kept[-1].mention.end <= place.mention.start:
            kept.append(place)
    return kept
