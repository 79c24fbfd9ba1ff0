"""`t5coref.load` takes what `t5coref predict --model` takes, and refuses what does not fit."""

from __future__ import annotations

import argparse
import shutil

import pytest

import t5coref
from t5coref import released
from t5coref.cli.models import add_model_arguments, load_predictor
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.joint_ie import JointPredictor, PipelinePredictor, joint_model
from t5coref.mentions import ToldPredictor
from t5coref.model import Format, from_scratch
from t5coref.nn.joint_ie import (
    BilinearCoreference,
    EntityRelations,
    JointIE,
    MentionDetector,
    SpanRepresentation,
)
from t5coref.nn.t5 import T5Config
from t5coref.predict import Predictor
from t5coref.questions import QuestionPredictor

TINY = T5Config(
    vocab_size=1, emb_dim=16, num_heads=2, num_encoder_layers=1, num_decoder_layers=1, head_dim=8,
    mlp_dim=32,
)  # fmt: skip

FORMATS = {
    "full-copy": {"window": 48, "max_clusters": 8, "max_depth": 3},
    "iterative-ids": {"window": 48},
    "qa": {"window": 48},
}


@pytest.fixture(scope="module")
def folders(tokenizer, tmp_path_factory):
    """A random model of each kind."""
    place = tmp_path_factory.mktemp("kinds")
    formats = [Format(name, options) for name, options in FORMATS.items()]
    known = [t5coref.Tokenizer(tokenizer.model, format.symbols) for format in formats]
    base = from_scratch(TINY, max(known, key=lambda tokenizer: tokenizer.size))
    for format, suited in zip(formats, known, strict=True):
        t5coref.Model(base.config, base.params, suited, format).save(place / format.name)
    spans = SpanRepresentation(8)
    finding = MentionDetector(max_width=3, ratio=0.5, hidden_dim=8, dropout_rate=0.0)
    between = EntityRelations(0, projection_dim=8, blocks=2, dropout_rate=0.0)
    for name, heads in {
        "heads": JointIE(spans, finding, BilinearCoreference(dropout_rate=0.0)),
        "relations": JointIE(spans, relations=between),
    }.items():
        made = joint_model(base=base, heads=heads, relations=("of",), setting=name)
        made.save(place / name)
    return place


KINDS = {
    "full-copy": (Predictor, {}),
    "iterative-ids": (ToldPredictor, {}),
    "qa": (ToldPredictor, {"mentions": "gold"}),
    "heads": (JointPredictor, {}),
}


@pytest.mark.parametrize("name", KINDS)
def test_the_same_as_the_command(folders, name):
    kind, options = KINDS[name]
    parser = argparse.ArgumentParser()
    add_model_arguments(parser)
    arguments = [part for key, value in options.items() for part in (f"--{key}", value)]
    of_command = load_predictor(parser.parse_args(["--model", str(folders / name), *arguments]))
    of_load = t5coref.load(folders / name, **options).extractor
    assert type(of_load) is type(of_command) is kind
    assert of_load.identity == of_command.identity
    if name == "qa":
        assert type(of_load.predictor) is type(of_command.predictor) is QuestionPredictor


def test_a_second_model_for_relations(folders):
    both = t5coref.load(folders / "full-copy", relation_model=folders / "relations").extractor
    assert isinstance(both, PipelinePredictor)


def test_options_reach_the_model(folders):
    changed = t5coref.load(folders / "full-copy", singletons=False, window=40, batch_size=3)
    described = changed.extractor.identity
    assert described["model"]["format"]["options"]["min_mentions"] == 2
    assert described["model"]["format"]["options"]["window"] == 40
    assert described["batch_size"] == 3
    beams = t5coref.load(folders / "full-copy", beams=2).extractor.identity["search"]
    assert (beams["name"], beams["width"]) == ("beam", 2)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("full-copy", {"beams": 0}, "beams 0, batch_size 8; expected at least 1"),
        ("full-copy", {"mentions": "gold"}, "the model finds its mentions itself"),
        ("full-copy", {"mentions": "no_such"}, "there is no such file or folder"),
        ("qa", {"mentions": "none"}, "it is told them"),
        ("qa", {"beams": 2}, "needs no search; leave out Beam"),
        ("heads", {"singletons": True}, "which writes no sequences; leave out .*min_mentions"),
        ("", {}, "is no t5coref model: expected t5coref.json"),
        ("no such folder", {}, "no such folder"),
    ],
)
def test_what_makes_no_sense(folders, name, options, message):
    with pytest.raises(ConfigError, match=message):
        t5coref.load(folders / name, **options)


def test_told_models_say_what_raw_text_lacks(folders):
    coref = t5coref.load(folders / "iterative-ids")
    with pytest.raises(ConfigError, match=r"gives none; .*`t5coref\.load\(mentions=\.\.\.\)`"):
        coref.predict("the dog saw it")


def test_files_that_do_not_belong_together_are_refused(folders, tmp_path):
    good = folders / "full-copy"

    def copy(name):
        shutil.copytree(good, tmp_path / name)
        return tmp_path / name

    weights = copy("weights")
    shutil.copy(folders / "heads" / "model.safetensors", weights)
    with pytest.raises(MismatchError, match=r"model\.safetensors: expected SHA-256"):
        t5coref.load(weights)

    words = copy("words")
    t5coref.Tokenizer.train(["other words than those there were"] * 2, 40).save(words)
    with pytest.raises(MismatchError, match=r"the tokenizer has fingerprint .*restore its"):
        t5coref.load(words)

    cut = copy("cut")
    whole = (cut / "model.safetensors").read_bytes()
    (cut / "model.safetensors").write_bytes(whole[:-100])
    with pytest.raises(MismatchError, match=r"model\.safetensors: expected SHA-256"):
        t5coref.load(cut)


def test_the_released_model_is_the_default(folders, monkeypatch):
    monkeypatch.setattr(released, "default_model", lambda: folders / "full-copy")
    for given in ((), ("english-small",)):
        assert isinstance(t5coref.load(*given).extractor, Predictor)
