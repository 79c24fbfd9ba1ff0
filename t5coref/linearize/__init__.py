"""Formats: how a document becomes sequences of actions, and actions become clusters."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from t5coref.core.errors import ConfigError
from t5coref.linearize.base import (
    Actions,
    Answer,
    Example,
    Linearization,
    PieceEncoder,
    Turn,
    drive,
    examples,
    replay,
    round_trip,
)
from t5coref.linearize.document import MarkedText
from t5coref.linearize.full_copy import FullCopy
from t5coref.linearize.full_token import FullToken
from t5coref.linearize.input_feed import InputFeed
from t5coref.linearize.integer_free import IntegerFree
from t5coref.linearize.integer_free_end import IntegerFreeEnd
from t5coref.linearize.iterative_handles import IterativeHandles
from t5coref.linearize.iterative_ids import IterativeIds
from t5coref.linearize.iterative_text import IterativeText
from t5coref.linearize.link_append import LinkAppend
from t5coref.linearize.partial import Partial, PartialUnmarked
from t5coref.linearize.question_texts import TextPassages
from t5coref.linearize.questions import Passages, Questions
from t5coref.linearize.relation_copy import RelationCopy
from t5coref.linearize.relation_ids import RelationIds
from t5coref.linearize.relation_integer_free import RelationIntegerFree
from t5coref.linearize.relation_text import RelationText
from t5coref.linearize.relations import inventory
from t5coref.linearize.tagging import Tagging

FORMATS: dict[str, type[Any]] = {
    format_.name: format_
    for format_ in (
        FullCopy,
        FullToken,
        InputFeed,
        IntegerFree,
        IntegerFreeEnd,
        IterativeHandles,
        IterativeIds,
        IterativeText,
        LinkAppend,
        MarkedText,
        Partial,
        PartialUnmarked,
        Passages,
        Questions,
        RelationCopy,
        RelationIds,
        RelationIntegerFree,
        RelationText,
        Tagging,
        TextPassages,
    )
}
"""Every format by its name; a new one is one file and one entry here."""

RELATIONS = tuple(f.name for f in (RelationCopy, RelationIds, RelationIntegerFree, RelationText))
"""Those that write relations; they have the options `relations` and `entity_types`."""

MENTION_GIVEN = tuple(
    name for name, format_ in FORMATS.items() if getattr(format_, "needs_mentions", False)
)
"""Those that are told the mentions (`core.given_mentions`) and say which belong together."""

PLAIN_TEXT = (LinkAppend.name,)
"""Those whose answers are plain text, sentence by sentence: the vocabulary has to spell it."""


def named(name: str) -> type[Any]:
    """The format called `name`, not made yet.

    Raises:
      ConfigError: there is no such format.
    """
    try:
        return FORMATS[name]
    except KeyError:
        raise ConfigError(
            f"no linearization is called {name!r}; expected one of {', '.join(sorted(FORMATS))}"
        ) from None


def symbols_of(name: str, options: Mapping[str, Any] = MappingProxyType({})) -> tuple[str, ...]:
    """The added symbols that the format called `name` needs with these options, in their order.

    Raises:
      ConfigError: there is no such format, or an option is no list of names.
    """
    return named(name).symbols_with(options)


def get(name: str, tokenizer: PieceEncoder, **options: Any) -> Linearization:
    """The format called `name`, made with the tokenizer and the format's own options.

    Raises:
      ConfigError: there is no such format, or its options leave no room.
    """
    return named(name)(tokenizer, **options)


__all__ = [
    "FORMATS",
    "MENTION_GIVEN",
    "PLAIN_TEXT",
    "RELATIONS",
    "Actions",
    "Answer",
    "Example",
    "Linearization",
    "PieceEncoder",
    "Turn",
    "drive",
    "examples",
    "get",
    "inventory",
    "named",
    "replay",
    "round_trip",
    "symbols_of",
]
