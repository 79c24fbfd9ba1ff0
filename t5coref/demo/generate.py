"""Simple stories with their coreference, from a small grammar and a seed.

A story has one or two people, up to two things, and places:

* Of two people, one is female and the other male, as their names and roles tell, so that `she` and
  `he` mean one person each.
* `they` are the two people, after a mention of both ("Anna and the king").
* `it` is the thing mentioned last. Places are never referred to again: they are singletons.

Hence a reader who knows the gender of every name and role resolves all stories without error.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from t5coref.core.document import Annotation, Document, Span

FEMALE = ("Anna", "Clara", "Emma", "Lucy", "Mary", "Nora")
MALE = ("David", "Henry", "Jack", "Paul", "Peter", "Tom")
FEMALE_ROLES = ("girl", "nun", "princess", "queen")
MALE_ROLES = ("boy", "king", "monk", "prince")
THINGS = ("boat", "cat", "dog", "drum", "hat", "horse", "kite", "lamp")
PLACES = ("bridge", "castle", "forest", "garden", "hill", "lake", "market", "river")
ADJECTIVES = ("big", "old", "red", "small")
HANDLING = ("found", "hid", "liked", "lost", "sold", "took", "wanted", "washed")
MEETING = ("called", "helped", "saw", "thanked")
ACTING = ("laughed", "sang", "slept", "smiled")

PRONOUNS = {
    "female": {"subject": "she", "object": "her", "owner": "her"},
    "male": {"subject": "he", "object": "him", "owner": "his"},
    "thing": {"subject": "it", "object": "it"},
    "group": {"subject": "they", "object": "them", "owner": "their"},
}
WORD_RANGE = (15, 30)
SENTENCE_RANGE = (2, 5)


def generate(n: int, seed: int) -> Iterator[Document]:
    """Yields `n` different stories: always the same for a seed, and more where `n` is greater.

    Documents are named `generated-SEED-NUMBER`; their annotation has every person, thing and
    place, singletons included.
    """
    rng = random.Random(seed)
    seen: set[tuple[str, ...]] = set()
    while len(seen) < n:
        story = _Story(rng)
        story.tell()
        words = tuple(story.words)
        if WORD_RANGE[0] <= len(words) <= WORD_RANGE[1] and words not in seen:
            yield story.document(f"generated-{seed}-{len(seen)}")
            seen.add(words)


@dataclass(eq=False, slots=True)
class _Entity:
    """Someone or something to talk about."""

    kind: str
    noun: str
    mentions: list[Span] = field(default_factory=list)

    @property
    def is_named(self) -> bool:
        return self.noun in FEMALE or self.noun in MALE


class _Story:
    """A story on the way: its words, and who has been mentioned where."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.words: list[str] = []
        self.sentences: list[Span] = []
        woman = rng.choice(FEMALE if rng.random() < 0.6 else FEMALE_ROLES)
        man = rng.choice(MALE if rng.random() < 0.6 else MALE_ROLES)
        people = [_Entity("female", woman), _Entity("male", man)]
        self.hero, self.other = rng.sample(people, 2)
        self.is_alone = rng.random() < 0.35
        self.group = _Entity("group", "")
        self.things: list[_Entity] = []
        self.latest_thing: _Entity | None = None
        self.new_things = rng.sample(THINGS, 2)
        self.new_places = rng.sample(PLACES, SENTENCE_RANGE[1])
        self.places: list[_Entity] = []

    def tell(self) -> None:
        """Tells the story: an opening, then sentences about what is known."""
        count = self.rng.randint(*SENTENCE_RANGE)
        openings = (self._losing, self._buys) if self.is_alone else (self._meeting, self._together)
        self._sentence(self.rng.choice((self._losing, *openings)))
        while len(self.sentences) < count:
            self._sentence(self.rng.choice(self._continuations()))

    def document(self, doc_id: str) -> Document:
        """The story with its clusters in text order."""
        people = (self.hero, self.other, self.group)
        entities = [e for e in (*people, *self.things, *self.places) if e.mentions]
        clusters = sorted(
            (tuple(entity.mentions) for entity in entities),
            key=lambda spans: min((start, -end) for start, end in spans),
        )
        return Document(
            doc_id=doc_id,
            words=tuple(self.words),
            sentences=tuple(self.sentences),
            annotation=Annotation(tuple(clusters)),
        )

    # Sentences.

    def _sentence(self, tell: Callable[[], None]) -> None:
        start = len(self.words)
        tell()
        self._say(".")
        self.words[start] = self.words[start].capitalize()
        self.sentences.append((start, len(self.words)))

    def _continuations(self) -> list[Callable[[], None]]:
        """What may come next; what stands here twice comes more often."""
        out = [self._goes, self._acts]
        if self.things:
            out += [self._handles, self._handles, self._is_like]
        if len(self.things) < len(self.new_things):
            out += [self._buys, self._handles_owned]
        if self.is_alone:
            return out
        if self.other.mentions:
            out += [self._meets, self._meets] + ([self._gives] if self.things else [])
        else:
            out += [self._meeting]
        out += [self._they_go, self._they_handle] if self.group.mentions else [self._together]
        return out

    def _losing(self) -> None:
        self._person(self.hero, "subject")
        self._say(self.rng.choice(HANDLING))
        self._owned_thing(self.hero)
        self._maybe_somewhere()

    def _meeting(self) -> None:
        self._person(self.hero, "subject")
        self._say(self.rng.choice(MEETING))
        self._person(self.other, "object")
        self._maybe_somewhere()

    def _together(self) -> None:
        start = len(self.words)
        self._person(self.hero, "subject", full=True)
        self._say("and")
        self._person(self.other, "subject", full=True)
        self.group.mentions.append((start, len(self.words)))
        self._say("went")
        self._somewhere("to")

    def _goes(self) -> None:
        self._person(self._someone(), "subject")
        self._say("went")
        self._somewhere("to")

    def _acts(self) -> None:
        self._person(self._someone(), "subject")
        self._say(self.rng.choice(ACTING))
        self._maybe_somewhere()

    def _handles(self) -> None:
        self._person(self._someone(), "subject")
        self._say(self.rng.choice(HANDLING))
        self._known_thing("object")
        self._maybe_somewhere()

    def _handles_owned(self) -> None:
        subject, owner = self._someone(), self._someone()
        self._person(subject, "subject")
        self._say(self.rng.choice(HANDLING))
        self._owned_thing(owner, by_name=owner is not subject and self.rng.random() < 0.6)

    def _is_like(self) -> None:
        self._known_thing("subject")
        self._say("was", self.rng.choice(ADJECTIVES))

    def _buys(self) -> None:
        self._person(self._someone(), "subject")
        self._say("bought")
        self._new_thing()
        self._maybe_somewhere()

    def _gives(self) -> None:
        giver, taker = self.rng.sample((self.hero, self.other), 2)
        self._person(giver, "subject")
        self._say("gave")
        self._known_thing("object")
        self._say("to")
        self._person(taker, "object")

    def _meets(self) -> None:
        subject, met = self.rng.sample((self.hero, self.other), 2)
        self._person(subject, "subject")
        self._say(self.rng.choice(MEETING))
        self._person(met, "object")
        self._maybe_somewhere()

    def _they_go(self) -> None:
        self._pronoun(self.group, "subject")
        self._say("went")
        self._somewhere("to")

    def _they_handle(self) -> None:
        self._pronoun(self.group, "subject")
        self._say(self.rng.choice(HANDLING))
        if len(self.things) < len(self.new_things):
            self._owned_thing(self.group)
        else:
            self._known_thing("object")

    # Mentions.

    def _say(self, *words: str) -> None:
        self.words.extend(words)

    def _someone(self) -> _Entity:
        known = [e for e in (self.hero, self.other) if e.mentions]
        return self.rng.choice(known or [self.hero])

    def _mention(self, entity: _Entity, *words: str) -> None:
        start = len(self.words)
        self._say(*words)
        entity.mentions.append((start, len(self.words)))

    def _pronoun(self, entity: _Entity, case: str) -> None:
        self._mention(entity, PRONOUNS[entity.kind][case])

    def _person(self, person: _Entity, case: str, *, full: bool = False) -> None:
        if person.mentions and not full and self.rng.random() < 0.7:
            self._pronoun(person, case)
        elif person.is_named:
            self._mention(person, person.noun)
        else:
            self._mention(person, "the" if person.mentions else "a", person.noun)

    def _owned_thing(self, owner: _Entity, *, by_name: bool = False) -> None:
        """`her dog`, or `the queen 's dog`: the owner's mention lies within the thing's."""
        thing = self._introduce()
        start = len(self.words)
        if by_name:
            self._person(owner, "owner", full=True)
            self._say("'s")
        else:
            self._pronoun(owner, "owner")
        self._say(thing.noun)
        thing.mentions.append((start, len(self.words)))

    def _new_thing(self) -> None:
        thing = self._introduce()
        self._mention(thing, "a", thing.noun)

    def _introduce(self) -> _Entity:
        thing = _Entity("thing", self.new_things[len(self.things)])
        self.things.append(thing)
        self.latest_thing = thing
        return thing

    def _known_thing(self, case: str) -> None:
        thing = self.rng.choice(self.things)
        if thing is self.latest_thing and self.rng.random() < 0.6:
            self._pronoun(thing, case)
        else:
            self._mention(thing, "the", thing.noun)
        self.latest_thing = thing

    def _maybe_somewhere(self) -> None:
        if self.rng.random() < 0.3:
            self._somewhere()

    def _somewhere(self, preposition: str = "near") -> None:
        place = _Entity("place", self.new_places[len(self.places)])
        self.places.append(place)
        self._say(preposition)
        self._mention(place, "the", place.noun)
