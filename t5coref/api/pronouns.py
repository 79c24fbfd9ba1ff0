"""Pronouns, and what becomes of a name that takes the place of one.

Only English is known here. For another language, make a `Pronouns` of its words.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property


def english_ending(name: str) -> str:
    """What makes a possessive of an English name: `'` after a plural in s, `'s` after all else.

    A last word in small letters that ends in s, but not in ss, is taken for a plural.
    """
    last = name.split()[-1] if name.split() else ""
    plural = last.islower() and last.endswith("s") and not last.endswith("ss")
    return "'" if plural else "'s"


@dataclass(frozen=True)
class Pronouns:
    """The pronouns of a language, all words in small letters.

    Attributes:
      personal: those whose place a name takes as it is, such as he and him.
      possessive: those whose place its possessive takes, such as his and its.
      undecided: those that may be either, such as her. A tag of `Document.pos` decides (PRP or
        PRP$), else the next word: they are possessive where one follows in their sentence that
        begins with a letter or a digit and is neither a possessive itself nor among `after_object`.
      reflexive: those that stay, since what they refer to stands beside them: "he hurt himself".
      after_object: words that may follow an object and begin no noun phrase.
      articles: words that only the beginning of a sentence gives a capital letter.
      endings: of words and mentions that are possessives already.
      ending: what has to be added to a name to make a possessive of it.
    """

    personal: frozenset[str] = frozenset()
    possessive: frozenset[str] = frozenset()
    undecided: frozenset[str] = frozenset()
    reflexive: frozenset[str] = frozenset()
    after_object: frozenset[str] = frozenset()
    articles: frozenset[str] = frozenset()
    endings: tuple[str, ...] = ()
    ending: Callable[[str], str] = str  # of nothing: callers give one with possessives

    def __contains__(self, mention: str) -> bool:
        """Whether a whole mention is a pronoun."""
        return bare(mention) in self._all

    @cached_property
    def _all(self) -> frozenset[str]:
        return self.personal | self.possessive | self.undecided | self.reflexive


def bare(mention: str) -> str:
    """A mention in small letters, without punctuation around it: tokenizers leave some at words."""
    return mention.lower().strip(string.punctuation + "“”‘’…")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ENGLISH = Pronouns(
    personal=_words("i me we us you he him she it they them"),
    possessive=_words("my mine our ours your yours his hers its their theirs"),
    undecided=_words("her"),
    reflexive=_words(
        "myself ourselves ourself yourself yourselves himself herself itself themselves themself"
    ),
    after_object=_words(
        "a an the this that these those my our your his its their some any no and or nor but so if "
        "as because since while when where whether until than then there here now again too also "
        "still yet ever never always often once soon today tonight tomorrow yesterday away back "
        "about above across after against along among around at before behind beside between "
        "beyond by down for from in inside into like near of off on onto out outside over past "
        "through to toward towards under up upon with within without who whom whose which what "
        "how why am is are was were be been has have had do does did will would shall should can "
        "could may might must not n't i we you he she it they him them us me alone everywhere "
        "somewhere anywhere nowhere come go feel know sit take give get tell see become keep make "
        "think understand lose speak"
    ),
    articles=_words(
        "the a an this that these those some any each every no another both all my our your his "
        "her its their one two three"
    ),
    endings=("'s", "’s"),
    ending=english_ending,
)
"""Personal, possessive and reflexive pronouns of all persons; reflexive ones stay.

Demonstratives (this), relative pronouns (who) and indefinite ones (one) are not among them: a name
in their place seldom makes a sentence.
"""

_LANGUAGES = {"en": ENGLISH}


def pronouns_of(language: str) -> Pronouns | None:
    """The pronouns of a language by its code; None where they are not known."""
    return _LANGUAGES.get(language)
