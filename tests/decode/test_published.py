"""The published implementation's own output: greedy and beam search under its constraints."""

from __future__ import annotations

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5coref.decode import draft
from t5coref.decode.constraint import Tables
from t5coref.decode.search import Beam, Greedy, Rows
from t5coref.linearize import FORMATS, Turn, get
from t5coref.nn.checkpoint import load_hf
from t5coref.nn.t5 import T5
from t5coref.predict import decode_batch
from t5coref.tokenizer import Tokenizer

FORMAT_OF = {
    "int": "full-copy",
    "tagging": "tagging",
    "token": "full-token",
    "free": "integer-free",
    "free_end": "integer-free-end",
    "partial": "partial",
}
STEP_BY_STEP, GUESSING, BEAM = Greedy((1,)), Greedy((4, 8)), Beam(4)
FAST = [("int", GUESSING), ("free_end", BEAM), ("partial", STEP_BY_STEP)]
NAMED = {"greedy": STEP_BY_STEP, "guessing": GUESSING, "beam": BEAM}
CASES = [
    pytest.param(
        kind,
        search,
        id=f"{kind}-{name}",
        marks=() if (kind, search) in FAST else pytest.mark.slow,
    )
    for kind in FORMAT_OF
    for name, search in NAMED.items()
]


@pytest.mark.parametrize(("kind", "search"), CASES)
def test_token_by_token(shared, tmp_path, kind, search):
    folder = shared / "data/reference_seq2seq/decode"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    beams = search.width if isinstance(search, Beam) else 1
    cases = json.loads((folder / "cases.json").read_text())["cases"]
    (case,) = [c for c in cases if (c["kind"], c["beams"]) == (kind, beams)]
    format_ = FORMATS[FORMAT_OF[kind]]
    tokenizer = Tokenizer(shared / "data/t5/spiece.model", format_.symbols)
    lin = get(format_.name, tokenizer, constraint="reference")
    shutil.copy(folder / f"{kind}.config.json", tmp_path / "config.json")
    shutil.copy(folder / f"{kind}.safetensors", tmp_path / "model.safetensors")
    config, params = load_hf(tmp_path)

    steps = case["max_length"] - 1  # it counts the start token
    count = len(case["source"])
    sources = np.zeros((count, max(map(len, case["source"]))), np.int32)
    for row, pieces in zip(sources, case["source"], strict=True):
        row[: len(pieces)] = pieces
    forced = np.full((count, 1), -1, np.int32)
    rows = Rows(*map(jnp.asarray, (sources, np.full(count, steps, np.int32), forced)))
    found, _ = decode_batch(
        T5(config), params, Tables.of(lin.rules), rows, draft.empty(), steps, search
    )
    found = jax.device_get(found)

    for row, wanted in enumerate(case["output"]):
        source = sources[row][sources[row] > 0]
        turn = Turn("d", 0, 0, source, np.arange(len(source), dtype=np.int32))
        actions = found.actions[row, 0, : found.lengths[row, 0]]
        fed = np.zeros(steps, np.int32)
        fed[: len(actions)] = lin.feeds(turn, actions)
        # Rows that did not end are as long as allowed; the others are padded.
        read = np.zeros(steps, np.int32)
        read[: len(wanted) - 1] = wanted[1:]
        np.testing.assert_array_equal(fed, read)
    if search is BEAM:
        np.testing.assert_allclose(found.scores[:, 0], case["sequences_scores"], atol=1e-4)
    elif search is GUESSING:
        assert found.calls < found.lengths.max()
