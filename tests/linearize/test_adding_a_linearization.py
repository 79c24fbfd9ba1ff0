"""docs/adding_a_linearization.md: its code, taken out of the page, registered and put to work."""

from __future__ import annotations

import json
import pathlib
import re
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import walks
from formats import clusters, document, mentions, spans
from hypothesis import given, settings
from strategies import documents

from t5coref import cli
from t5coref.core.automaton import DONE, Source
from t5coref.core.errors import ConfigError
from t5coref.core.rules import Rules
from t5coref.corpora import jsonl
from t5coref.decode import draft
from t5coref.decode.constraint import Tables
from t5coref.decode.greedy import greedy
from t5coref.decode.search import Greedy, Rows
from t5coref.linearize import FORMATS, Answer, Turn, examples, round_trip

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "adding_a_linearization.md"
NAME = "cluster-tags"
SMALL = {"window": 40, "max_clusters": 20, "max_depth": 16}


@pytest.fixture(scope="module")
def registered():
    """The name of the page's format, which is in FORMATS meanwhile."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    module = types.ModuleType("cluster_tags")
    exec(compile(code, str(PAGE), "exec"), module.__dict__)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FORMATS, NAME, module.ClusterTags)
        yield module.ClusterTags.name


@pytest.fixture(scope="module")
def lin(registered, tokenizer):
    return walks.make(tokenizer, registered, **SMALL)


def test_the_page_shows_what_the_command_prints(registered, tokenizer, tmp_path, capsys):
    doc = document("the dog saw it", [[(0, 2), (3, 4)]])
    tokenizer.save(tmp_path)
    jsonl.write([doc], tmp_path / "a.jsonl")
    argv = ["linearize", "--format", NAME, str(tmp_path / "a.jsonl"), "--tokenizer", str(tmp_path)]
    assert cli.main(argv) == 0
    row = json.loads(capsys.readouterr().out)
    shown = re.findall(r"^    (source|actions|feeds) +(.*)$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert [name for name, _ in shown] == ["source", "actions", "feeds"]
    pieces = {w: [tokenizer.piece(t) for t in tokenizer.encode(w)] for w in doc.words}
    for name, line in shown:
        expected, copied = [], iter([*doc.words, "</s>"])
        for word in line.split():
            count = len(pieces.get(next(copied), [""])) if word == "<copy>" else 1
            expected += pieces.get(word, [word] * count)
        assert row[name] == expected
    assert cli.main([*argv, "--check"]) == 0
    assert "conll 100.00" in capsys.readouterr().out
    assert cli.main(["linearize", "--list"]) == 0
    assert f"{NAME} " in capsys.readouterr().out


@settings(max_examples=60, deadline=None)
@given(doc=documents())
def test_gold_comes_back(registered, tokenizer, doc):
    lin = walks.make(tokenizer, registered, **SMALL | {"window": 400})
    assert spans(round_trip(lin, doc)) == clusters(mentions(doc, in_sentences=False))


@settings(max_examples=60, deadline=None)
@given(doc=documents())
def test_gold_actions_are_legal(lin, doc):
    for example in examples(lin, doc):
        source = Source(example.turn.source, lin.rules.marks)
        state = walks.follow(lin.rules, source, example.actions.tolist(), len(example.actions))
        assert state.mode == DONE


def as_turn(pieces):
    return Turn("d", 0, 0, pieces, np.append(np.arange(len(pieces) - 1), -1).astype(np.int32))


def check_reading(lin, pieces, actions):
    """How many mentions there are: one for each bracket, none twice."""
    found = lin.read(as_turn(pieces), Answer(np.asarray(actions, np.int32))).clusters
    opened = list(actions).count(lin.tokenizer.symbol("<m>"))
    assert sum(len(set(cluster)) for cluster in found) == opened
    return opened


@pytest.mark.parametrize("seed", range(3))
def test_random_walks_end_within_their_budget_and_read_back(lin, seed):
    rng, count = np.random.default_rng(seed), 0
    for _ in range(20):
        pieces = walks.random_source(rng, lin, 10)
        budget = len(pieces) + int(rng.integers(0, 40))
        *steps, (end, _, _) = walks.walk(rng, lin.rules, Source(pieces, lin.rules.marks), budget)
        assert end.mode == DONE
        assert len(steps) <= budget
        count += check_reading(lin, pieces, [token for _, _, token in steps])
    assert count > 20


def test_decoding_random_logits(lin):
    rng, steps, count = np.random.default_rng(0), 60, 40
    sources = [walks.random_source(rng, lin, 12) for _ in range(count)]
    logits = rng.normal(size=(count, steps + 4, len(lin.rules.inventory.ids)))
    logits[..., 1] += 2  # opening tags

    def next_logits(carry, tokens, positions, visible):
        at = positions[:, None] + jnp.arange(tokens.shape[1], dtype=jnp.int32)[None, :]
        return jnp.take_along_axis(carry, at[..., None], axis=1), carry

    rows = Rows(
        jnp.asarray(walks.padded(sources, 12)),
        jnp.full(count, steps, jnp.int32),
        jnp.full((count, 1), -1, jnp.int32),
    )
    found, _ = jax.jit(greedy, static_argnums=(0, 5, 6, 7))(
        next_logits, jnp.asarray(logits, jnp.float32), Tables.of(lin.rules), rows, draft.empty(),
        steps, logits.shape[-1], Greedy((2,)),
    )  # fmt: skip
    mentions = 0
    for row, pieces in enumerate(sources):
        actions = np.asarray(found.actions[row, 0, : int(found.lengths[row, 0])]).tolist()
        state = walks.follow(lin.rules, Source(pieces, lin.rules.marks), actions, steps)
        assert state.mode == DONE
        mentions += check_reading(lin, pieces, actions)
    assert mentions > count


def test_a_wrong_cost_is_refused_as_the_page_says(registered, tokenizer, monkeypatch):
    compiled = Rules.compile

    def wrong(inventory, effects, cells, **fields):
        cells = [c._replace(cost=3) if c.cost else c for c in cells]
        return compiled(inventory, effects, cells, **fields)

    monkeypatch.setattr(Rules, "compile", wrong)
    with pytest.raises(ConfigError, match="expected"):
        walks.make(tokenizer, registered)
