"""Every gin file of ours, and what is said about wrong ones."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import pathlib
import re
import subprocess
import sys

import pytest

from t5coref.cli import gin_files
from t5coref.core.errors import ConfigError
from t5coref.train.inputs import corpus_files

ROOT = pathlib.Path(__file__).parents[2]
FILES = sorted((ROOT / "gin").rglob("*.gin"))
EXPERIMENTS = sorted((ROOT / "gin" / "experiments").glob("*.gin"))
WITH_T5X = [path for path in EXPERIMENTS if "t5coref t5x" in path.read_text()]
LOCAL = [path for path in EXPERIMENTS if path not in WITH_T5X]
SIZES = sorted((ROOT / "gin" / "models" / "sizes").glob("*.gin"))
SEARCHES = sorted((ROOT / "gin" / "decode").glob("*.gin"))


def ids(path):
    return path.stem


def test_there_are_experiments():
    assert {path.stem for path in LOCAL} >= {"demo", "litbank_small", "ontogum_small"}
    assert len(WITH_T5X) >= 5
    assert {path.stem for path in SIZES} == {"small", "base", "large", "xl", "xxl"}
    assert {path.stem for path in SEARCHES} == {"greedy", "beam"}


@pytest.mark.parametrize("path", LOCAL, ids=ids)
def test_experiment_is_whole(path):
    """All names are known, no macro is unread, and only what the user must give is missing."""
    gin_files.load([str(path)], complete=False)
    missing = {name for name, value in gin_files.macros().items() if value == gin_files.REQUIRED}
    given = {"MODEL", "TRAIN_ROWS", "OUTPUT"}
    assert all(name in given or name.endswith(("_FILES", "_IDS")) for name in missing)
    gin_files.load([str(path)], [f"{name} = 'given'" for name in missing])
    for name in missing:
        assert f"--gin.{name}=" in path.read_text(), f"the command lacks {name}"


@pytest.mark.parametrize("path", EXPERIMENTS, ids=ids)
def test_experiment_opens_with_what_to_expect(path):
    head = path.read_text().partition("include")[0]
    command = "t5x (--multihost )?train" if path in WITH_T5X else "train"
    assert re.search(rf"t5coref {command} --gin_file gin/experiments/{path.name} ", head)
    for fact in ("hardware", "wall time", "expected score"):
        assert re.search(rf"^# {fact}: \S", head, re.MULTILINE)


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_includes_are_relative_to_the_root(path):
    for included in re.findall(r"^include +(.*)$", path.read_text(), re.MULTILINE):
        assert re.fullmatch(r"'(gin|t5x/configs/runs)/[\w/]+\.gin'", included)
    assert path.read_text().startswith("# ")


@pytest.fixture(scope="module")
def read_with_t5x():
    """What T5X finds in experiments and in combinations of a model, a search and a run."""
    # Not imported here: T5X registers names with gin beside those of the local loop.
    for module in ("seqio", "t5x.models"):
        if importlib.util.find_spec(module.partition(".")[0]) is None:
            pytest.skip(f"could not import {module!r}: T5X is not installed")
    runs = [f"gin/runs/{name}.gin" for name in ("finetune", "eval", "infer")]
    mixed = [
        ",".join((f"gin/models/sizes/{size.name}", f"gin/decode/{search.name}", run))
        for size in SIZES
        for search in SEARCHES
        for run in runs
    ]
    wanted = [str(path) for path in WITH_T5X] + mixed
    environment = os.environ | {
        "JAX_NUMPY_DTYPE_PROMOTION": "standard",
        "JAX_NUMPY_RANK_PROMOTION": "allow",
    }
    script = ROOT / "tests" / "gin" / "read_t5x.py"
    done = subprocess.run(
        [sys.executable, str(script), *wanted],
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT / "tests" / "gin",
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return dict(zip(wanted, json.loads(done.stdout.splitlines()[-1]), strict=True))


@pytest.mark.parametrize("path", WITH_T5X, ids=ids)
def test_experiment_with_t5x_is_whole(path, read_with_t5x):
    """Likewise for those that T5X reads."""
    found = read_with_t5x[str(path)]
    assert found["unread"] == []
    assert found["unset"] == []
    assert set(found["required"]) <= {"INITIAL_CHECKPOINT_PATH", "MODEL_DIR"}
    for name in found["required"]:
        assert f"--gin.{name}=" in path.read_text(), f"the command lacks {name}"


def test_models_searches_and_runs_fit_together(read_with_t5x):
    given = {
        "finetune": {"INITIAL_CHECKPOINT_PATH", "MODEL_DIR", "TRAIN_STEPS"},
        "eval": {"CHECKPOINT_PATH", "EVAL_OUTPUT_DIR"},
        "infer": {"CHECKPOINT_PATH", "INFER_OUTPUT_DIR"},
    }
    mixed = {files: found for files, found in read_with_t5x.items() if "," in files}
    assert len(mixed) == len(SIZES) * len(SEARCHES) * len(given)
    for files, found in mixed.items():
        run = pathlib.Path(files).stem
        assert (found["unread"], found["unset"]) == ([], []), files
        lengths = set() if run == "eval" else {"TASK_FEATURE_LENGTHS"}
        assert set(found["required"]) == {"MIXTURE_OR_TASK_NAME"} | lengths | given[run], files


def test_gin_config_is_found_beside_our_folder():
    code = "import gin; assert gin.__file__ and hasattr(gin, 'parse_config'), gin"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert list((ROOT / "gin").rglob("__init__.py")) == []


def test_root():
    assert gin_files.gin_root() == ROOT
    assert (gin_files.gin_root() / "gin" / "runs" / "train.gin").is_file()


def write(tmp_path, text):
    (tmp_path / "x.gin").write_text(text)
    return [str(tmp_path / "x.gin")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train.step = 3", r"train has no argument 'step'; did you mean .*steps"),
        ("adam.peak = 3", r"nothing is called 'adam'; did you mean adamw"),
        (
            "train.model = @pretraned()",
            r"x.gin, line 1: nothing is called 'pretraned'; did you mean pretrained",
        ),
        ("train.steps = %STEPZ\nSTEPS = 3", "macro STEPZ has no value; did you mean STEPS"),
        ("STEPS = 3", "nothing reads the macro STEPS"),
        ("A = 1\nB = %A\ntrain.steps = 2", "nothing reads the macro B"),
        ("include 'gin/nowhere.gin'", "nowhere.gin"),
        ("train.steps = = 3", "gin: "),
        ("train.steps = %S\nS = %gin.REQUIRED", r"S must be given; add --gin.S="),
    ],
)
def test_mistakes(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        gin_files.load(write(tmp_path, text))


def test_missing_arguments_are_named(tmp_path):
    gin_files.load(write(tmp_path, "train.steps = 3"))
    with pytest.raises(ConfigError, match=r"model.*train_set.*output_dir"):
        gin_files.call("train")


def test_where_a_file_was_looked_for_is_no_error(tmp_path, monkeypatch, caplog):
    """Gin calls it one where an included file is found in the second place."""
    monkeypatch.chdir(tmp_path)
    gin_files.load(["gin/runs/train.gin"], complete=False)
    assert not caplog.records
    logging.getLogger().error("Path not found: %s", "by someone else")
    assert len(caplog.records) == 1


def test_what_was_loaded_before_is_forgotten(tmp_path):
    gin_files.load(write(tmp_path, "demo_stories.count = 3"))
    assert len(gin_files.call("demo_stories")) == 3
    assert "demo_stories.seed = 0" in gin_files.operative().splitlines()
    gin_files.load(write(tmp_path, "demo_stories.seed = 3"))
    assert len(gin_files.call("demo_stories", count=1)) == 1


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("train.steps=5", "train.steps = 5"),
        ("OUTPUT=runs/x y", "OUTPUT = 'runs/x y'"),
        ("OUTPUT='runs'", "OUTPUT = 'runs'"),
        ("FILES=['a','b']", "FILES = ['a','b']"),
        ("X=None", "X = None"),
        ("train.optimizer=@adafactor", "train.optimizer = @adafactor"),
        ("scope/f.x = %Y", "scope/f.x = %Y"),
        ("f.parts=[@a/g(), @b/g()]", "f.parts = [@a/g(), @b/g()]"),
        ("OUTPUT=a=b", "OUTPUT = 'a=b'"),
    ],
)
def test_bindings_of_the_command_line(text, bound):
    assert gin_files.binding(text) == bound


def test_model_of_the_demonstration():
    gin_files.load(
        ["gin/experiments/demo.gin"], ["OUTPUT = 'x'", "training/demo_stories.count = 20"]
    )
    model = gin_files.call("from_scratch")
    assert model.config.vocab_size == model.tokenizer.size
    assert type(model.config).__module__ == "t5coref.nn.stack"


def test_litbank_splits(shared):
    litbank = shared / "data" / "litbank"
    split = litbank / "splits" / "2"
    files = str(litbank / "conll" / "*")
    parts = [
        corpus_files(files=files, corpus="litbank", ids=str(split / f"{part}.ids"))
        for part in ("train", "dev", "test")
    ]
    assert [len(part) for part in parts] == [70, 10, 10]
    assert len({d.doc_id for part in parts for d in part}) == 90
