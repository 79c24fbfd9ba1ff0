"""How inputs are found and cut into shards, and which process does which."""

from __future__ import annotations

import gzip
import pathlib
import sys

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t5coref.core.errors import ConfigError
from t5coref.jobs import find_inputs, storage
from t5coref.jobs.hosts import Host
from t5coref.jobs.shards import Part, Shard, numbered, one_each, share

SIZES = st.lists(st.integers(0, 10**9), max_size=30)


def names(*paths):
    return [shard.name for shard in one_each(dict.fromkeys(paths, 1), ".jsonl")]


@given(SIZES, st.integers(1, 12))
def test_every_shard_has_one_process_and_processes_have_neighbours(sizes, count):
    shards = [Shard(str(i), (Part(str(i), s),), float(s)) for i, s in enumerate(sizes)]
    shares = [share(shards, Host(i, count)) for i in range(count)]
    assert [shard for part in shares for shard in part] == shards


@given(st.integers(1, 40), st.integers(1, 40))
def test_equal_shards_are_shared_evenly(shards, count):
    equal = [Shard(str(i), (), 5.0) for i in range(shards)]
    numbers = [len(share(equal, Host(i, count))) for i in range(count)]
    assert max(numbers) - min(numbers) <= 1


@given(st.lists(st.integers(0, 50), max_size=12), st.integers(1, 20))
def test_numbered_shards_hold_every_document_once_and_in_order(counts, most):
    inputs = {f"in{i}": 100 * n for i, n in enumerate(counts)}
    shards = numbered(inputs, counts, ".conll", most)
    held = [
        (part.path, i) for s in shards for part in s.parts for i in range(part.start, part.stop)
    ]
    assert held == [(f"in{i}", k) for i, n in enumerate(counts) for k in range(n)]
    sizes = [sum(part.stop - part.start for part in shard.parts) for shard in shards]
    assert all(size == most for size in sizes[:-1])
    assert all(0 < size <= most for size in sizes)
    assert [s.name for s in shards] == [
        f"part-{i:05d}-of-{len(shards):05d}.conll" for i in range(len(shards))
    ]
    assert sum(s.weight for s in shards) == pytest.approx(sum(inputs.values()))
    assert [Shard.from_json(s.to_json()) for s in shards] == shards


def test_outputs_are_named_like_inputs():
    assert names("/x/docs/a.conllu") == ["a.jsonl"]
    assert names("/x/a.txt", "/x/b.jsonl.gz") == ["a.jsonl", "b.jsonl"]
    assert names("/x/2019/a.txt", "/x/2020/a.txt") == ["2019/a.jsonl", "2020/a.jsonl"]
    assert names("/x/a.txt", "/x/y/z/a.txt") == ["a.jsonl", "y/z/a.jsonl"]
    assert names("gs://b/x/a.txt", "gs://c/x/a.txt") == ["b/x/a.jsonl", "c/x/a.jsonl"]
    assert names("gs://b/x/a.txt", "/x/a.txt") == ["gs/b/x/a.jsonl", "x/a.jsonl"]
    # Without their own endings these would be one.
    assert names("/x/a.txt", "/x/a.conll") == ["a.txt.jsonl", "a.conll.jsonl"]
    assert names("/x/a.txt", "/x/A.txt") == ["a.txt.jsonl", "A.txt.jsonl"]


@pytest.mark.parametrize(("index", "count"), [(2, 2), (-1, 2), (0, 0)])
def test_numbers_of_processes_are_checked(index, count):
    with pytest.raises(ConfigError, match="expected a number from 0"):
        Host(index, count)


@pytest.fixture(params=["local", "memory"])
def tree(request, tmp_path):
    """A folder, here or in fsspec's memory, with the same few files; and how to name it."""
    if request.param == "local":
        root = tmp_path.as_posix()

        def write(name, content):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    else:
        fs = fsspec.filesystem("memory")
        fs.store.clear()
        root = "memory://bucket/x"

        def write(name, content):
            fs.pipe_file(f"/bucket/x/{name}", content)

    for name in (
        "docs/b.jsonl",
        "docs/a.txt",
        "docs/c.conll.gz",
        "docs/notes.md",
        "docs/more/a.txt",
    ):
        write(name, name.encode())
    yield root
    fsspec.filesystem("memory").store.clear()


def found(tree, *inputs, format=None, output="out"):
    files = find_inputs([f"{tree}/{i}" for i in inputs], format, f"{tree}/{output}")
    assert all(size == len(p.removeprefix(f"{tree}/")) for p, size in files.items())
    return [path.removeprefix(f"{tree}/") for path in files]


def test_inputs_are_found(tree):
    assert found(tree, "docs/a.txt") == ["docs/a.txt"]
    assert found(tree, "docs") == ["docs/a.txt", "docs/b.jsonl", "docs/c.conll.gz"]
    assert found(tree, "docs", format="text") == ["docs/a.txt"]
    assert found(tree, "docs/*.txt") == ["docs/a.txt"]
    assert found(tree, "docs/**/*.txt") == ["docs/a.txt", "docs/more/a.txt"]
    assert found(tree, "docs/?.[jt]*") == ["docs/a.txt", "docs/b.jsonl"]
    # Each once, in one order, whatever they are called by.
    assert found(tree, "docs/b.jsonl", "docs/*.txt", "docs") == found(tree, "docs")


def test_outputs_are_no_inputs(tree):
    assert found(tree, "docs/**/*.txt", output="docs/more") == ["docs/a.txt"]
    assert found(tree, "docs/a.txt", output="do") == ["docs/a.txt"]
    with pytest.raises(ConfigError, match="all inputs are in the output folder"):
        found(tree, "docs", output="docs")


@pytest.mark.parametrize("missing", ["nowhere.txt", "docs/*.conllu", "nowhere/", "docs/more/no/*"])
def test_inputs_that_are_not_there(tree, missing):
    with pytest.raises(ConfigError, match="no input"):
        found(tree, "docs/a.txt", missing)


def test_a_folder_of_outputs(tree, tmp_path):
    folder = storage.open_folder(f"{tree}/out")
    assert folder.names() == set()
    assert folder.read("a") is None
    assert folder.read_all([]) == []
    folder.write("_job/done/x/a.json", b"1")
    folder.write("_job/done/x/a.json", b"22")
    fresh = tmp_path / "elsewhere"
    fresh.write_bytes(b"333")
    folder.publish(fresh, "x/a.jsonl")
    assert not fresh.exists()
    assert folder.names() == {"_job/done/x/a.json", "x/a.jsonl"}
    assert folder.names("_job/done") == {"_job/done/x/a.json"}
    assert folder.read_all(["x/a.jsonl", "_job/done/x/a.json"]) == [b"333", b"22"]
    assert folder.name("x/a.jsonl") == f"{tree}/out/x/a.jsonl"
    folder.write("_job/done/odd*[x]?.json", b"4")
    assert folder.read("_job/done/odd*[x]?.json") == b"4"
    assert folder.read_all(["_job/done/odd*[x]?.json"]) == [b"4"]
    folder.remove("_job/done/odd*[x]?.json")
    folder.remove("*")  # a name, not a pattern
    assert folder.names() == {"_job/done/x/a.json", "x/a.jsonl"}
    folder.remove("_job")
    folder.remove("_job")
    folder.remove("x/a.jsonl")
    folder.remove("x/a.jsonl")
    assert folder.names() == set()


def test_a_fetched_file_keeps_its_name(tree):
    for path in (f"{tree}/docs/more/a.txt",):
        with storage.fetched(path) as file:
            assert isinstance(file, pathlib.Path)
            assert (file.name, file.read_bytes()) == ("a.txt", b"docs/more/a.txt")
        assert file.exists() == (not storage.is_url(path))


def test_stores_that_cannot_be_reached(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(ConfigError, match="gcs"):
        storage.open_folder("gs://bucket/out")
    with pytest.raises(ConfigError, match="nosuch"):
        find_inputs(["nosuch://bucket/x"], None, str(tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        storage.open_folder(str(tmp_path / "file"))


def test_buckets_that_are_not_there(monkeypatch):
    def refuse(self, path, value, **options):
        raise FileNotFoundError(2, "No such bucket")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "pipe_file", refuse)
    with pytest.raises(ConfigError, match=r"cannot write memory://bucket/out/x: FileNotFoundError"):
        storage.open_folder("memory://bucket/out").write("x", b"")


def test_local_names(tmp_path, monkeypatch):
    with gzip.open(tmp_path / "[odd].txt.gz", "wt") as file:
        file.write("x")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    path = str(tmp_path / "[odd].txt.gz")
    for name in ("[odd].txt.gz", "./[odd].txt.gz", f"file://{path}", "~/*.gz", path):
        assert list(find_inputs([name], None, "out")) == [path]
