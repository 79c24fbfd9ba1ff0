"""Stored rows: the same when read, and never silently other ones."""

from __future__ import annotations

import json
import pickle

import fsspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from t5coref.core.errors import ConfigError, FormatError
from t5coref.mrp import rows as module
from t5coref.mrp.rows import MRPRow, Shard, from_bytes, read_rows, to_bytes, write_rows, write_shard

FIELDS = tuple(MRPRow.__dataclass_fields__)


@st.composite
def mrp_rows(draw):
    s, t, q, j = (draw(st.integers(0, 5)) for _ in range(4))

    def ints(*shape):
        return draw(hnp.arrays(np.int32, shape, elements=st.integers(-1, 2**31 - 1)))

    def flags(*shape):
        return draw(hnp.arrays(np.bool_, shape))

    return MRPRow(
        draw(st.text()), ints(s), ints(t), ints(q), ints(q), flags(q), ints(q, j), ints(q, j),
        flags(q, j),
    )  # fmt: skip


def assert_same(found, row):
    for field in FIELDS:
        a, b = getattr(found, field), getattr(row, field)
        if field == "name":
            assert a == b
        else:
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            np.testing.assert_array_equal(a, b)


def row(k, queries=1):
    """A row that differs from those of other numbers."""
    return MRPRow(
        f"text#{k}",
        np.arange(k, k + 7, dtype=np.int32),
        np.arange(4, dtype=np.int32),
        np.full(queries, 2, np.int32),
        np.full(queries, 3, np.int32),
        np.zeros(queries, bool),
        np.full((queries, 2), k, np.int32),
        np.full((queries, 2), k + 1, np.int32),
        np.ones((queries, 2), bool),
    )


@given(mrp_rows())
def test_bytes_hold_a_row(row):
    assert_same(from_bytes(to_bytes(row)), row)


def folder_of(tmp_path, *counts):
    """A folder with so many rows in each shard, numbered through."""
    shards, k = [], 0
    for number, count in enumerate(counts):
        file = f"rows-{number:05d}.mrp"
        write_shard(tmp_path / file, (row(k + i) for i in range(count)))
        shards.append({"file": file, "rows": count})
        k += count
    (tmp_path / "manifest.json").write_text(json.dumps({"shards": shards}))
    return tmp_path


def test_rows_of_shards_follow_one_another(tmp_path):
    rows = read_rows(folder_of(tmp_path, 3, 0, 1, 2))
    assert len(rows) == 6
    for k in range(6):
        assert_same(rows[k], row(k))
        assert_same(rows[k - 6], row(k))
    assert [r.name for r in rows[1:5:2]] == ["text#1", "text#3"]
    assert [r.name for r in rows] == [f"text#{k}" for k in range(6)]
    with pytest.raises(IndexError):
        rows[6]


def test_rows_can_be_sent_to_other_processes(tmp_path):
    rows = read_rows(folder_of(tmp_path, 1, 1))
    assert_same(rows[1], row(1))
    assert_same(pickle.loads(pickle.dumps(rows))[1], row(1))


def test_reading_opens_no_shard_but_the_one_asked_for(tmp_path):
    rows = read_rows(folder_of(tmp_path, 1, 1))
    (tmp_path / "rows-00000.mrp").unlink()
    assert_same(rows[1], row(1))
    with pytest.raises(FormatError, match=r"rows-00000\.mrp is in manifest\.json but not there"):
        rows[0]


def test_few_shards_are_open_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "OPEN_SHARDS", 2)
    rows = read_rows(folder_of(tmp_path, 1, 1, 1, 1))
    for k in (0, 1, 2, 3, 0):
        assert_same(rows[k], row(k))
    assert rows._open.cache_info().currsize == 2


def test_rows_of_a_store(tmp_path):
    store = fsspec.filesystem("memory")
    store.put(str(folder_of(tmp_path, 1, 1)), "/mrp", recursive=True)
    rows = read_rows("memory://mrp")
    assert_same(rows[1], row(1))
    store.rm("/mrp/rows-00000.mrp")
    with pytest.raises(FormatError, match="not there"):
        rows[0]


def test_every_cut_and_every_changed_byte_is_noticed(tmp_path):
    path = tmp_path / "a.mrp"
    write_shard(path, [row(0), row(1, queries=0)])
    whole = path.read_bytes()

    def read(content):
        shard = Shard(content, "a.mrp")
        return [shard.row(i) for i in range(len(shard))]

    assert len(read(whole)) == 2
    for size in range(len(whole)):
        with pytest.raises(FormatError, match=r"a\.mrp"):
            read(whole[:size])
    unprotected = set()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 0x10
        try:
            read(bytes(changed))
        except FormatError as error:
            assert "a.mrp" in str(error)  # noqa: PT017
        else:
            unprotected.add(place - len(whole))
    # The padding of the trailer means nothing.
    assert unprotected <= set(range(-12, -8))


def test_a_shard_appears_whole_or_not_at_all(tmp_path):
    def broken():
        yield row(0)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_shard(tmp_path / "a.mrp", broken())
    assert not (tmp_path / "a.mrp").exists()


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.mrp").write_bytes(b"")
    (tmp_path / "manifest.json").write_text('{"shards": [{"file": "a.mrp", "rows": 1}]}')
    with pytest.raises(FormatError, match="no shard of mention reference rows"):
        read_rows(tmp_path)[0]
    write_shard(tmp_path / "a.mrp", [row(0), row(1)])
    with pytest.raises(FormatError, match=r"2 rows, manifest\.json says 1"):
        read_rows(tmp_path)[0]
    (tmp_path / "manifest.json").write_text('{"format": "full-copy"}')
    with pytest.raises(FormatError, match="does not list shards"):
        read_rows(tmp_path)


def test_an_unfinished_folder_is_refused(tmp_path):
    with pytest.raises(FormatError, match="goes on when the same command is started again"):
        read_rows(tmp_path)


def test_shapes_must_fit():
    wrong = MRPRow(**{**{f: getattr(row(0), f) for f in FIELDS}, "query_end": np.zeros(2, int)})
    with pytest.raises(ConfigError, match="query_end has shape"):
        to_bytes(wrong)


def test_own_rows_can_be_written(tmp_path):
    write_rows(tmp_path / "own", (row(k) for k in range(3)))
    assert [r.name for r in read_rows(tmp_path / "own")] == ["text#0", "text#1", "text#2"]
