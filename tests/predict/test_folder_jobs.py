"""Jobs that write a folder: any number of processes, kills, other folders, bad input."""

from __future__ import annotations

import json
import pathlib
import shutil
import threading

import fsspec
import jax
import pytest

from t5coref import cli, corpora, jobs
from t5coref.core.errors import ConfigError, MismatchError, T5CorefError
from t5coref.corpora import jsonl
from t5coref.jobs import Host, ledger, storage, work
from t5coref.model import Format, Model
from t5coref.predict import Predictor, error_of


@pytest.fixture(scope="module")
def predictor(model):
    return Predictor(model, batch_size=4, round_size=4, devices=jax.devices()[:1])


@pytest.fixture(scope="module")
def docs(stories, tmp_path_factory):
    """Four inputs, two of them with the same name, one empty."""
    folder = tmp_path_factory.mktemp("inputs") / "docs"
    (folder / "more").mkdir(parents=True)
    jsonl.write(stories[:14], folder / "a.jsonl")
    jsonl.write([], folder / "empty.jsonl")
    jsonl.write(stories[14:19], folder / "more/a.jsonl.gz")
    jsonl.write(stories[19:30], folder / "more/c.jsonl")
    return folder


def run(predictor, docs, output, *, process=(0, 1), pattern="**/*.jsonl*", **options):
    host = Host(*process)
    return jobs.run_shards(predictor, [f"{docs}/{pattern}"], str(output), host=host, **options)


def tree(folder, under=""):
    return {
        f.relative_to(folder).as_posix(): f.read_bytes()
        for f in pathlib.Path(folder, under).rglob("*")
        if f.is_file()
    }


@pytest.fixture(scope="module")
def whole(predictor, docs, tmp_path_factory):
    """What one undisturbed process writes."""
    output = tmp_path_factory.mktemp("whole") / "out"
    summary = run(predictor, docs, output)
    assert summary == jobs.Summary(True, 4, summary.tally)
    return tree(output)


@pytest.fixture(scope="module")
def whole_numbered(predictor, docs, tmp_path_factory):
    output = tmp_path_factory.mktemp("whole") / "out"
    run(predictor, docs, output, shard_size=7)
    return tree(output)


def clusters(files):
    """The clusters of all outputs, in the order of their names."""
    return [
        (record["doc_id"], record["clusters"])
        for name in sorted(files)
        if name.endswith(".jsonl")
        for record in map(json.loads, files[name].decode().splitlines())
    ]


def test_outputs_are_those_of_one_file(predictor, docs, stories, whole, whole_numbered, tmp_path):
    assert {n for n in whole if not n.startswith("_")} == {
        "a.jsonl", "empty.jsonl", "more/a.jsonl", "more/c.jsonl",
    }  # fmt: skip
    jobs.run(predictor, stories[:30], tmp_path / "one.jsonl")
    one = clusters(tree(tmp_path))
    assert clusters(whole) == one
    assert clusters(whole_numbered) == one
    assert {n for n in whole_numbered if not n.startswith("_")} == {
        f"part-{i:05d}-of-00005.jsonl" for i in range(5)
    }
    # A shard knows nothing of the ones before it.
    records = predictor.predict(stories[19:30])
    predictor.memory = None
    assert whole["more/c.jsonl"].decode() == "".join(map(jsonl.dumps, records))


def test_what_is_written_down(whole, predictor, docs):
    job = json.loads(whole["_job/job.json"])
    assert job["model"]["fingerprint"] == predictor.model.fingerprint()
    assert job["model"]["tokenizer"]["fingerprint"] == predictor.model.tokenizer.fingerprint
    assert job["search"] == {"name": "greedy"}
    assert job["batch_size"] == 4
    assert job["inputs"][f"{docs}/a.jsonl"] == (docs / "a.jsonl").stat().st_size
    success = json.loads(whole["_SUCCESS"])
    assert success["documents"] == 30
    assert success["failures"] == 0
    assert success["job_version"] == ledger.VERSION
    assert success["t5coref"] == job["model"]["t5coref"]
    for name, record in success["shards"].items():
        assert json.loads(whole[f"_job/done/{name}.json"]) == record
        assert record["bytes"] == len(whole[name])
        assert record["documents"] == len(whole[name].splitlines())
        (source,) = record["inputs"]
        assert source["sha256"] == storage.digest(pathlib.Path(source["path"]))
    assert [n for n in whole if "work" in n or n.endswith(".new")] == []


@pytest.mark.parametrize("size", [None, 7])
@pytest.mark.parametrize("count", [2, 9])
def test_any_number_of_processes(predictor, docs, whole, whole_numbered, tmp_path, size, count):
    ends = [
        run(predictor, docs, tmp_path, process=(i, count), shard_size=size) for i in range(count)
    ]
    wanted = whole if size is None else whole_numbered
    assert tree(tmp_path) == wanted
    # Those that end while others are at work say so; the last one has counted everything.
    complete = [end.complete for end in ends]
    assert complete == sorted(complete)
    assert complete[0] == (count == 1)
    assert ends[-1].complete
    assert ends[-1].tally.documents == 30


class StopError(Exception):
    pass


class Fragile:
    """A folder whose process dies at one of its writes: before it, or right after it."""

    def __init__(self, folder, left, after):
        self._folder, self._left, self._after = folder, left, after

    def __getattr__(self, name):
        return getattr(self._folder, name)

    def _written(self, write, *args):
        self._left -= 1
        if self._left < 0 and not self._after:
            raise StopError
        write(*args)
        if self._left < 0:
            raise StopError

    def write(self, *args):
        self._written(self._folder.write, *args)

    def publish(self, *args):
        self._written(self._folder.publish, *args)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("format", ["jsonl", "conll2012"])
def test_death_at_every_write(predictor, stories, tmp_path, monkeypatch, after, format):
    docs = tmp_path / "docs"
    docs.mkdir()
    jsonl.write(stories[:3], docs / "a.jsonl")
    (docs / "b.jsonl").write_text(jsonl.dumps(stories[4]) + "{broken\n")
    options = {"output_format": format, "input_format": "jsonl"}
    run(predictor, docs, tmp_path / "whole", pattern="*", **options)
    really = storage.open_folder
    for left in range(100):
        output = tmp_path / f"out{left}"
        monkeypatch.setattr(
            storage, "open_folder", lambda path, left=left: Fragile(really(path), left, after)
        )
        try:
            run(predictor, docs, output, pattern="*", **options)
            break
        except StopError:
            monkeypatch.setattr(storage, "open_folder", really)
            run(predictor, docs, output, pattern="*", **options)
            assert tree(output) == tree(tmp_path / "whole")
    assert left == (6 if format == "jsonl" else 7)  # the errors of b are a file more


class StopAfter(work._Silent):
    def __init__(self, documents):
        self.left = documents
        self.already = 0

    def resumed(self, records):
        self.already += records

    def advanced(self, records):
        self.left -= len(records)
        if self.left <= 0:
            raise StopError


def test_another_number_of_processes_goes_on(predictor, docs, whole_numbered, tmp_path):
    """Shards half done by a process that is no more are continued by whoever has them now."""
    for i in range(2):
        with pytest.raises(StopError):
            run(predictor, docs, tmp_path, process=(i, 3), shard_size=7, listener=StopAfter(6))
    assert not run(predictor, docs, tmp_path, process=(2, 3), shard_size=7).complete
    assert list((tmp_path / "_job/done").iterdir())
    listener = StopAfter(1000)
    for i in (1, 0):
        summary = run(predictor, docs, tmp_path, process=(i, 2), shard_size=7, listener=listener)
    assert listener.already == 8
    assert summary.complete
    assert tree(tmp_path) == whole_numbered


def test_a_finished_job_is_left_alone(predictor, docs, whole, tmp_path, monkeypatch):
    run(predictor, docs, tmp_path)
    (tmp_path / "more/c.jsonl").unlink()
    asked = []

    def watched(documents):
        documents = list(documents)
        asked.extend(documents)
        return Predictor.predict(predictor, documents)

    monkeypatch.setattr(predictor, "predict", watched)
    assert run(predictor, docs, tmp_path).complete
    assert len(asked) == 11
    assert tree(tmp_path) == whole
    assert run(predictor, docs, tmp_path, process=(3, 5)).complete
    assert len(asked) == 11


def test_refuses_another_job(predictor, model, docs, tmp_path):
    output = tmp_path / "out"
    with pytest.raises(StopError):
        run(predictor, docs, output, listener=StopAfter(5))
    other = Predictor(model, batch_size=2, round_size=4, devices=jax.devices()[:1])
    with pytest.raises(MismatchError, match="batch_size = 4, now it is 2"):
        run(other, docs, output)
    windows = Model(model.config, model.params, model.tokenizer,
                    Format("full-copy", {**model.format.options, "window": 40}))  # fmt: skip
    with pytest.raises(MismatchError, match=r"model\.format\.options\.window = 48, now it is 40"):
        run(Predictor(windows, batch_size=4, round_size=4), docs, output)
    for options in ({"shard_size": 3}, {"output_format": "conllu"}, {"language": "nl"}):
        with pytest.raises(MismatchError, match=next(iter(options))):
            run(predictor, docs, output, **options)
    with pytest.raises(MismatchError, match=r"empty\.jsonl: 0 bytes when .* none now"):
        run(predictor, docs, output, pattern="**/a.jsonl*")
    copy = tmp_path / "docs"
    shutil.copytree(docs, copy)
    with pytest.raises(MismatchError, match=r"docs/a\.jsonl: \d+ bytes when .* none now"):
        run(predictor, copy, output)
    run(predictor, docs, tmp_path / "few", pattern="**/a.jsonl*")
    with pytest.raises(MismatchError, match=r"empty\.jsonl: none when .* 0 bytes now"):
        run(predictor, docs, tmp_path / "few")
    for process in ((0, 2), (1, 2)):
        with pytest.raises(ConfigError, match=r"remove .*out first"):
            run(predictor, docs, output, process=process, overwrite=True)
    assert run(predictor, copy, output, pattern="a.jsonl", overwrite=True).complete
    assert {n for n in tree(output) if not n.startswith("_")} == {"a.jsonl"}


def test_inputs_that_change_under_way(predictor, docs, tmp_path):
    copy = tmp_path / "docs"
    shutil.copytree(docs, copy)
    later = copy / "more/c.jsonl"

    class Change(StopAfter):
        def finished(self, shard):
            later.write_bytes(later.read_bytes() + b"\n")

    with pytest.raises(MismatchError, match="inputs must stay as they are"):
        run(predictor, copy, tmp_path / "out", listener=Change(1000))


def test_other_files_are_not_overwritten(predictor, docs, tmp_path):
    (tmp_path / "a.jsonl").write_text("precious")
    with pytest.raises(ConfigError, match=r"a\.jsonl exists, but there is no _job/job\.json"):
        run(predictor, docs, tmp_path)
    assert tree(tmp_path) == {"a.jsonl": b"precious"}


def test_other_processes_are_waited_for(predictor, docs, whole, tmp_path, monkeypatch):
    """Processes that belong together end together; here threads stand for them."""
    monkeypatch.setattr(ledger, "LONGEST_PAUSE", 0.1)
    second = Predictor(predictor.model, batch_size=4, round_size=4, devices=jax.devices()[:1])
    ends = {}

    def member(index, predictor):
        host = Host(index, 2, joined=True)
        ends[index] = jobs.run_shards(predictor, [f"{docs}/**/*"], str(tmp_path), host=host)

    threads = [threading.Thread(target=member, args=a) for a in ((1, second), (0, predictor))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tree(tmp_path) == whole
    assert ends[0] == ends[1]
    assert ends[0].complete


def test_process_0_must_begin(predictor, docs, tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "JOB_WAIT_SECONDS", 0.2)
    heard = []

    class Listener(work._Silent):
        def waiting(self, reason):
            heard.append(reason)

    with pytest.raises(T5CorefError, match="a folder that all processes share"):
        run(predictor, docs, tmp_path, process=(1, 2), listener=Listener())
    assert heard[0].startswith("for process 0 to write")


def test_two_processes_with_one_number(predictor, docs, tmp_path, monkeypatch):
    monkeypatch.setattr(work, "LOCK_WAIT_SECONDS", 0.2)

    class Twin(work._Silent):
        def advanced(self, records):
            with pytest.raises(ConfigError, match=r"another process is at work on a\.jsonl"):
                run(predictor, docs, tmp_path)
            raise StopError

    with pytest.raises(StopError):
        run(predictor, docs, tmp_path, listener=Twin())


@pytest.fixture
def memory():
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    yield fs
    fs.store.clear()


@pytest.mark.parametrize(("size", "stop", "already"), [(None, 9, 8), (7, 13, 4)])
def test_object_stores(
    predictor, docs, whole, whole_numbered, memory, tmp_path, monkeypatch, size, stop, already
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name, content in tree(docs).items():
        memory.pipe_file(f"/bucket/docs/{name}", content)
    url = "memory://bucket/out"
    with pytest.raises(StopError):
        run(predictor, "memory://bucket/docs", url, shard_size=size, listener=StopAfter(stop))
    assert list(tmp_path.rglob("*.partial"))  # goes on here, while this machine lasts
    listener = StopAfter(1000)
    for i in range(2):
        summary = run(predictor, "memory://bucket/docs", url, process=(i, 2), shard_size=size,
                      listener=listener)  # fmt: skip
    assert listener.already == already
    assert summary.complete
    assert list(tmp_path.rglob("*.partial")) == []
    written = {
        path.removeprefix("/bucket/out/"): memory.cat_file(path)
        for path in memory.find("/bucket/out")
    }
    wanted = whole if size is None else whole_numbered
    assert written.keys() == wanted.keys()
    assert clusters(written) == clusters(wanted)
    for name in wanted:
        assert name.startswith("_") or written[name] == wanted[name]


def test_bad_input_is_counted_over_all_shards(predictor, model_folder, stories, tmp_path, capsys):
    docs = tmp_path / "docs"
    docs.mkdir()
    good = [jsonl.dumps(d) for d in stories[1:4]]
    (docs / "a.jsonl").write_text(good[0] + '{"doc_id": "broken"\n' + good[1])
    (docs / "b.jsonl").write_text(good[2])
    (docs / "c.txt").write_bytes(b"caf\xe9")
    (docs / "d.xyz").write_text("what is this?\n")
    command = ["predict", "--model", str(model_folder), "--input", f"{docs}/*", "--quiet"]
    assert cli.main([*command, "--output-dir", str(tmp_path / "out")]) == 1
    captured = capsys.readouterr()
    assert captured.out == f"6 documents in 4 files: {tmp_path / 'out'}\n"
    assert "3 documents without a prediction" in captured.err
    records = {n: list(jsonl.read(tmp_path / "out" / f"{n}.jsonl")) for n in "abcd"}
    assert [error_of(d) is None for d in records["a"]] == [True, False, True]
    assert records["a"][1].doc_id == f"{docs}/a.jsonl:2"
    assert "UTF-8" in error_of(records["c"][0])
    assert len(records["d"]) == 1
    # In formats without a place for errors they have a file of their own.
    assert cli.main([*command, "--output-dir", str(tmp_path / "conll"),
                     "--output-format", "conll"]) == 1  # fmt: skip
    assert len(list(corpora.read(tmp_path / "conll/a.conll", "conll2012"))) == 2
    assert len(list(jsonl.read(tmp_path / "conll/a.conll.errors.jsonl"))) == 1
    assert not (tmp_path / "conll/b.conll.errors.jsonl").exists()


def test_errors_name_inputs_of_object_stores(predictor, memory, stories, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    memory.pipe_file("/b/docs/a.jsonl", jsonl.dumps(stories[1]).encode() + b"{broken\n")
    summary = run(predictor, "memory://b/docs", "memory://b/out", pattern="*", shard_size=10)
    assert summary.tally.failures == 1
    rows = [
        json.loads(row) for row in memory.cat_file("/b/out/part-00000-of-00001.jsonl").splitlines()
    ]
    assert rows[1]["doc_id"] == "memory://b/docs/a.jsonl:2"


def test_command_line_errors_are_short(model_folder, docs, tmp_path, capsys):
    def error(*options, inputs=(f"{docs}/*.jsonl",)):
        start = ["predict", "--model", str(model_folder), "--input", *inputs, "--quiet"]
        assert cli.main([*start, *options]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("t5coref: error: ")
        assert "Traceback" not in captured.err
        return captured.err

    out = ("--output-dir", str(tmp_path / "out"))
    assert "standard input cannot be shared" in error(*out, inputs=["-"])
    assert "--shard-size is for a folder" in error("--output", "x", "--shard-size", "3")
    assert "--multihost is for a folder" in error("--output", "x", "--multihost")
    assert "with --output-dir" in error("--output", "x")
    assert "no input" in error(*out, inputs=[f"{docs}/*.conll"])
    assert "given together" in error(*out, "--num-processes", "2")
    assert "given together" in error(*out, "--coordinator", "localhost:1234")
    numbers = ("--num-processes", "2", "--process-id", "1")
    assert "leave out" in error(*out, *numbers, "--multihost")
    assert "expected a number from 0" in error(*out, *numbers[:3], "2")
    assert "HOST:PORT" in error(*out, *numbers, "--coordinator", "localhost")
    assert "expected at least 1" in error(*out, "--shard-size", "0")
    assert not (tmp_path / "out").exists()
    with pytest.raises(SystemExit):
        cli.main(["predict", "--model", "x", "--input", "y", *out, "--output", "z"])
    assert "not allowed with" in capsys.readouterr().err


def test_a_host_of_a_slice_is_not_alone(model_folder, docs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(jax, "process_count", lambda: 4)
    command = ["predict", "--model", str(model_folder), "--input", str(docs), "--quiet"]
    assert cli.main([*command, "--output-dir", str(tmp_path / "out")]) == 2
    assert "one of 4 hosts of a slice; add --multihost" in capsys.readouterr().err


def test_many_small_texts_are_advised_to_share_files(model_folder, tmp_path, capsys):
    for i in range(16):
        (tmp_path / f"{i:02}.txt").write_text("The dog saw it .")
    command = ["predict", "--model", str(model_folder), "--input", f"{tmp_path}/*.txt",
               "--output-dir"]  # fmt: skip
    assert cli.main([*command, str(tmp_path / "each")]) == 0
    assert "--shard-size" in capsys.readouterr().err
    assert cli.main([*command, str(tmp_path / "together"), "--shard-size", "256"]) == 0
    assert "--shard-size" not in capsys.readouterr().err
    (output,) = (tmp_path / "together").glob("*.jsonl")
    assert [d.doc_id for d in jsonl.read(output)] == [f"{i:02}" for i in range(16)]
