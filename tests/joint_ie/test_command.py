"""From gin files over `t5coref train` to `t5coref predict` and `t5coref evaluate`."""

from __future__ import annotations

import itertools
import json

import gin
import pytest

from t5coref import cli
from t5coref.cli import gin_files
from t5coref.core.relation_metrics import RelationScorer
from t5coref.corpora import jsonl
from t5coref.joint_ie import JointModel, JointPredictor

CONFIG = """
include 'gin/joint_ie/{composition}.gin'

CORPUS = 'jsonl'
EPOCHS = None
STEPS = {steps}
BATCH_SIZE = 6
ENCODER_RATE = 5e-3
TASK_RATE = 5e-3
MENTION_DIM = 16
MentionDetector.max_width = 4
MentionDetector.ratio = 0.5
MentionDetector.hidden_dim = 32
MentionDetector.dropout_rate = 0.0
BilinearCoreference.dropout_rate = 0.0
MentionRelations.hidden_dim = 16
MentionRelations.dropout_rate = 0.0
MentionRelations.per_gold_pair = True
EntityRelations.projection_dim = 32
EntityRelations.blocks = 2
EntityRelations.dropout_rate = 0.0
JointObjective.dropout = 0.0
encoder/adamw.decay = 'constant'
task/adamw.decay = 'constant'
fit.eval_every = 50
"""


@pytest.fixture(scope="module")
def files(base, documents, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    base.save(folder / "t5")
    jsonl.write(documents, folder / "gold.jsonl")
    jsonl.write([d.with_annotation(None) for d in documents], folder / "bare.jsonl")
    return folder


def trained(files, composition, steps, *options):
    """The folder of a model that `t5coref train` made."""
    config, output = files / f"{composition}.gin", files / f"run-{composition}-{steps}"
    config.write_text(CONFIG.format(composition=composition, steps=steps))
    gold = files / "gold.jsonl"
    status = cli.main(
        ["train", "--gin_file", str(config), "--quiet", f"--gin.MODEL={files / 't5'}",
         f"--gin.TRAIN_FILES={gold}", f"--gin.DEV_FILES={gold}", f"--gin.OUTPUT={output}", *options]
    )  # fmt: skip
    assert status == 0
    return output / "best"


@pytest.fixture(scope="module")
def joint_m(files):
    """After too few steps to be right about anything."""
    return trained(files, "joint_m", 2)


@pytest.fixture(autouse=True)
def clean():
    yield
    gin.clear_config()


def predicted(files, name, *options):
    output = files / f"{name}.jsonl"
    status = cli.main(
        ["predict", "--input", str(files / "bare.jsonl"), "--output", str(output), "--quiet",
         "--overwrite", *map(str, options)]
    )  # fmt: skip
    return status, output


def relations(document):
    clusters = document.annotation.clusters
    return {(clusters[r.head], r.type, clusters[r.tail]) for r in document.annotation.relations}


def annotations(path):
    return [d.annotation for d in jsonl.read(path)]


def test_train_predict_evaluate(files, joint_m, documents, capsys):
    card = json.loads((joint_m / "t5coref.json").read_text())
    assert card["joint_ie"]["setting"] == "Joint-M"
    assert "fit.objective" in (joint_m.parent / "config.gin").read_text()
    status, output = predicted(files, "found", "--model", joint_m)
    assert status == 0
    found = list(JointPredictor(JointModel.load(joint_m)).predict(documents))
    assert annotations(output) == [d.annotation for d in found]
    assert any(d.annotation.clusters for d in found)
    capsys.readouterr()
    evaluate = ["evaluate", "--model", str(joint_m), "--corpus", "jsonl", "--quiet", "--json"]
    assert cli.main([*evaluate, str(files / "gold.jsonl")]) == 0
    scorer = RelationScorer()
    for gold, one in zip(documents, found, strict=True):
        scorer.add(gold, one.annotation)
    scores = json.loads(capsys.readouterr().out)
    for name, value in scorer.compute().items():
        assert scores["relations"][name]["f1"] == pytest.approx(value.f1)


def test_pipeline(files, make_model):
    """The clusters of one model, and what the other one finds between them when they are given."""
    models = {}
    for setting in ("coreference", "relations"):
        models[setting] = files / setting
        make_model(setting).save(models[setting])
    status, piped = predicted(
        files, "piped", "--model", models["coreference"], "--relation-model", models["relations"]
    )
    _, clusters = predicted(files, "clusters", "--model", models["coreference"])
    given = files / "given.jsonl"
    assert cli.main(
        ["predict", "--model", str(models["relations"]), "--given-entities", "--quiet",
         "--input", str(clusters), "--output", str(given)]
    ) == status == 0  # fmt: skip
    assert annotations(piped) == annotations(given)
    assert any(a.relations for a in annotations(given))
    assert [a.clusters for a in annotations(piped)] == [a.clusters for a in annotations(clusters)]


@pytest.mark.slow
@pytest.mark.parametrize("steps", [{"joint_m": 150}, {"coreference": 120, "relations": 80}])
def test_documents_learned_by_heart_come_back(files, documents, steps):
    models = [trained(files, composition, count) for composition, count in steps.items()]
    options = itertools.chain(*zip(("--model", "--relation-model"), models, strict=False))
    status, output = predicted(files, "-".join(steps), *options)
    assert status == 0
    for gold, found in zip(documents, jsonl.read(output), strict=True):
        assert relations(found) == relations(gold)


@pytest.mark.slow
def test_beside_a_decoder(files, documents):
    options = ["--gin_file", "gin/joint_ie/beside_decoder.gin", "--gin.Format.name=tagging",
               "--gin.W_AUX=0.5"]  # fmt: skip
    both = trained(files, "joint", 2, *options)
    for name, extra in (("heads", ()), ("written", ("--linearization", "tagging"))):
        _, output = predicted(files, name, "--model", both, *extra)
        assert len(list(jsonl.read(output))) == len(documents)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--beams", "4"), "writes no sequences; leave out --beams"),
        (("--carry",), "leave out --carry"),
        (("--relation-model", "x", "--given-entities"), "--given-entities with --relation-model"),
    ],
)
def test_options_that_do_not_suit(files, joint_m, capsys, options, message):
    assert predicted(files, "never", "--model", joint_m, *options)[0] == 2
    assert message in capsys.readouterr().err


def test_a_model_that_writes_takes_no_entities(files, capsys):
    assert predicted(files, "never", "--model", files / "t5", "--given-entities")[0] == 2
    assert "cannot be given them" in capsys.readouterr().err


def test_a_longer_document_than_allowed_fails_alone(files, joint_m):
    status, output = predicted(files, "long", "--model", joint_m, "--window", "5")
    assert status == 1
    assert all("expected at most 5" in d.extra["error"] for d in jsonl.read(output))


def test_what_stands_beside_a_decoder():
    given = [f"{name} = 'x'" for name in ("MODEL", "OUTPUT", "TRAIN_FILES", "DEV_FILES", "CORPUS")]
    files = [f"gin/joint_ie/{name}.gin" for name in ("joint", "beside_decoder")]
    gin_files.load(files, [*given, "Format.name = 'tagging'", "W_AUX = 0.25"])
    assert gin.query_parameter("joint_model.decoder")
    assert str(gin.query_parameter("pretrained.format")) == "@Format()"
    assert gin.query_parameter("%W_AUX") == 0.25


@pytest.mark.parametrize("setting", ["coreference", "relations", "joint", "joint_m", "joint_m_gp",
                                     "joint_m_gc"])  # fmt: skip
def test_compositions(setting):
    """Each file is the published composition, with nothing unread and nothing unknown."""
    names = ("MODEL", "OUTPUT", "TRAIN_FILES", "DEV_FILES", "CORPUS")
    given = [f"{name} = 'x'" for name in names]
    gin_files.load([f"gin/joint_ie/{setting}.gin"], given)
    heads = gin_files.call("JointIE")
    assert (heads.mentions is None) == (setting == "relations")
    assert (heads.coreference is None) == (setting == "relations")
    kind = type(heads.relations).__name__
    assert kind == (
        "NoneType"
        if setting == "coreference"
        else "MentionRelations"
        if setting.startswith("joint_m")
        else "EntityRelations"
    )
    assert (heads.propagation is not None) == setting.endswith("gp")
    assert (heads.compatibility is not None) == setting.endswith("gc")
    assert type(heads).__module__ == "t5coref.nn.joint_ie.model"
    optimizer = gin_files.call("encoder_and_task", total_steps=10)
    assert optimizer.settings["encoder"]["peak"] == 1e-4
    assert optimizer.settings["task"]["peak"] == 2e-4
    assert optimizer.settings["task"]["warmup"] == 0
