"""Tables that promise what they cannot keep are refused."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import walks

from t5coref.core.errors import ConfigError
from t5coref.core.rules import NEW, NUMBER, OPENED, TEXT, Cell, Due, Effect, Guard, Rules
from t5coref.core.symbols import Inventory
from t5coref.tokenizer import Tokenizer

COPY, OPEN, SHUT = range(3)
EFFECTS = [Effect.ADVANCE, Effect.OPENS, Effect.SHUTS | Effect.COUNTS]
BRACKETS = [
    Cell(TEXT, COPY, TEXT, Guard.BALANCED),
    Cell(OPENED, COPY, TEXT, Guard.BALANCED),
    Cell(TEXT, OPEN, OPENED, Guard.MORE | Guard.ROOM, 2),
    Cell(OPENED, OPEN, OPENED, Guard.MORE | Guard.ROOM, 2),
    Cell(TEXT, SHUT, TEXT, Guard.INSIDE | Guard.FITS, given=NEW),
]
"""The smallest format with mentions: `<m> <copy> </new>`, every mention its own cluster."""


def brackets(cells=BRACKETS, effects=EFFECTS, **changes):
    options = {
        "copy": COPY,
        "marks": (1,),
        "due": Due(1, 1),
        "max_depth": 2,
        "max_clusters": 4,
        "number_ids": (13, 14, 15, 16),
    }
    inventory = Inventory((10, 11, 12), ("<copy>", "<m>", "</new>"))
    return Rules.compile(inventory, effects, cells, **options | changes)


def changed(row, **fields):
    """The brackets with one cell changed."""
    return [c._replace(**fields) if i == row else c for i, c in enumerate(BRACKETS)]


def test_a_table_holds_its_cells():
    rules = brackets()
    assert rules.next_mode.tolist() == [[TEXT, OPENED, TEXT], [TEXT, OPENED, -1], [-1, -1, -1]]
    assert rules.slack_cost[:2].tolist() == [[0, 2, 0], [0, 2, 0]]
    assert rules.given[TEXT, SHUT] == NEW
    assert rules.guard[TEXT, SHUT] == Guard.INSIDE | Guard.FITS
    assert rules.scored_ids == (10, 11, 12)
    assert brackets(literal=True).scored_ids is None
    with pytest.raises(ValueError, match="read-only"):
        rules.next_mode[0, 0] = 1


REFUSED = {
    "two cells for one entry": (
        {"cells": [*BRACKETS, Cell(TEXT, COPY, OPENED)]},
        "two cells for action '<copy>' in mode 0",
    ),
    "no cells": ({"cells": []}, "mode 0 has no row"),
    "a mode without a row": (
        {"cells": changed(4, to=NUMBER)},
        "mode 3 has no row",
    ),
    "a mode without a way out": (
        {"cells": [*changed(4, to=NUMBER), Cell(NUMBER, SHUT, NUMBER)]},
        "mode 3 has no way to the end",
    ),
    "an end that nothing copies": (
        {"cells": [c._replace(guard=Guard.MORE) for c in BRACKETS]},
        "has no way to the end",
    ),
    "an end that is not reached": (
        {"cells": BRACKETS, "effects": [Effect(0), *EFFECTS[1:]]},
        "has no way to the end",
    ),
    "a copy that costs": ({"cells": changed(0, cost=1)}, "'<copy>' in mode 0 .* expected 0"),
    "an opening that costs too little": (
        {"cells": changed(3, cost=1)},
        "'<m>' in mode 1 has slack cost 1; expected 2",
    ),
    "a closing that was not paid for": ({"cells": changed(4, cost=1)}, "slack cost"),
    "costs put off to the closing": (
        {"cells": [c._replace(cost={OPEN: 1, SHUT: 1}.get(c.action, 0)) for c in BRACKETS]},
        "closing a mention costs 1",
    ),
    "costs paid too early": (
        {"cells": [c._replace(cost={OPEN: 3, SHUT: -1}.get(c.action, 0)) for c in BRACKETS]},
        "closing a mention costs -1",
    ),
    "pieces that nobody has reckoned with": (
        {"cells": [c._replace(cost=c.cost + (c.action == COPY)) for c in BRACKETS],
         "due": Due(0, 1)},
        "mode 0 has no slack cost of 0",
    ),
    "a pledge for nothing": ({"first_pledge": 1}, "first_pledge = 1"),
    "effects of other actions": ({"effects": EFFECTS[:2]}, r"effect has shape \(2,\)"),
    "numbers of another limit": (
        {"at_least": np.zeros((3, 4), np.int32)},
        r"at_least has shape \(3, 4\); expected \(3, 5\)",
    ),
    "no depth": ({"max_depth": 0}, "max_depth is 0"),
    "more levels than bits": ({"max_depth": 32, "max_clusters": 40, "number_ids": (5,) * 40},
                              "max_depth is 32"),
    "too few numbers for twins": (
        {"max_clusters": 3, "number_ids": (13, 14, 15)},
        "at least max_depth",
    ),
    "clusters that have no symbol": ({"number_ids": (13, 14)}, "2 number_ids for 4 clusters"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name):
    changes, message = REFUSED[name]
    with pytest.raises(ConfigError, match=message):
        brackets(**changes)


def test_shapes_have_to_agree():
    rules = brackets()
    for field in ("guard", "slack_cost", "given"):
        with pytest.raises(ConfigError, match=rf"Rules.{field} has shape \(2, 3\)"):
            replace(rules, **{field: getattr(rules, field)[:2]})
    with pytest.raises(ConfigError, match="2 columns for 3 actions"):
        replace(rules, next_mode=rules.next_mode[:, :2])
    with pytest.raises(ConfigError, match="mode 7 has no row"):
        replace(rules, next_mode=np.where(rules.next_mode == OPENED, 7, rules.next_mode))


def test_untwinned_rules_may_nest_without_bound():
    rules = brackets(max_depth=0, max_clusters=1, number_ids=(13,), twinned=False)
    assert (rules.max_depth, rules.max_clusters) == (0, 1)


TABLES = [
    (name, kind, clusters)
    for name in walks.NAMES
    for kind, clusters in [(Tokenizer, 12), (walks.Respelled, 4), (walks.Awkward, 5)]
]


@pytest.mark.parametrize(("name", "kind", "clusters"), TABLES)
def test_every_wrong_cost_of_the_strict_tables_is_found(tokenizer, name, kind, clusters):
    rules = walks.make(tokenizer, name, kind=kind, max_clusters=clusters, max_depth=2).rules
    for mode, action in np.argwhere(rules.next_mode >= 0):
        for error in (1, -1):
            costs = rules.slack_cost.copy()
            costs[mode, action] += error
            with pytest.raises(ConfigError, match="cost"):
                replace(rules, slack_cost=costs)


@pytest.mark.parametrize("name", walks.NAMES)
def test_every_wrong_pledge_of_the_strict_tables_is_found(tokenizer, name):
    rules = walks.make(tokenizer, name, kind=walks.Respelled, max_clusters=4, max_depth=2).rules
    for field in ("first_pledge", "twin_pledge"):
        for error in (1, -1):
            with pytest.raises(ConfigError, match="cost"):
                replace(rules, **{field: getattr(rules, field) + error})


@pytest.mark.parametrize("name", walks.NAMES)
def test_a_lost_cell_is_found_if_it_ends_the_output(tokenizer, name):
    """Without the way out of any of its modes, no table is made."""
    rules = walks.make(tokenizer, name, max_clusters=4, max_depth=2).rules
    for mode in range(len(rules.next_mode)):
        emptied = rules.next_mode.copy()
        emptied[mode] = -1
        if (emptied != rules.next_mode).any():
            with pytest.raises(ConfigError, match=r"no row|no way to the end"):
                replace(rules, next_mode=emptied)


def test_every_attribute_is_documented():
    described = Rules.__doc__.split("Attributes:")[1]
    missing = [f.name for f in fields(Rules) if f"{f.name}:" not in described]
    assert missing == []
