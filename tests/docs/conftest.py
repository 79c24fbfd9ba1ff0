"""A folder to run a page in: a tiny model for the released one, and files that pages speak of."""

from __future__ import annotations

import pathlib
import shutil
import sys

import pytest

STUB = """\
#!{python}
import sys
from t5coref import cli, released
released.default_model = lambda: {model!r}
sys.exit(cli.main())
"""


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> pathlib.Path:
    """Of a random model in eight bits with a proposer beside it, as the released one is."""
    import jax

    from t5coref.adapters import Adapters, fingerprint
    from t5coref.compress import compress
    from t5coref.downstream.head_model import head_model
    from t5coref.model import Format, Model, from_scratch
    from t5coref.nn.downstream import TaggingHead
    from t5coref.nn.lora import LoRA, Rows, split, with_adapters
    from t5coref.nn.t5 import T5Config
    from t5coref.tokenizer import Tokenizer
    from t5coref.train.inputs import demo_stories, vocabulary

    config = T5Config(
        vocab_size=1, emb_dim=16, num_heads=2, num_encoder_layers=1, num_decoder_layers=1,
        head_dim=8, mlp_dim=32,
    )  # fmt: skip
    format = Format("iterative-text", {"window": 128})
    pieces = vocabulary(documents=demo_stories(count=200), size=400, numbers=18)
    tokenizer = Tokenizer(pieces.model, format.symbols)
    folder = tmp_path_factory.mktemp("models") / "english-small"
    compress(from_scratch(config, tokenizer, format=format, seed=3), folder)

    data = {"window": 64, "stride": 48, "max_depth": 2, "bias": 0.0}
    head = TaggingHead(8, 16)
    tagger = head_model(base=Model.load(folder), head=head, task="mentions", data=data, seed=3)
    rows, lora = Rows.of(tagger.tokenizer), LoRA(rank=2)
    weights, _ = split(with_adapters(lora, tagger.params, rows, jax.random.key(3)))
    base = fingerprint(tagger.params, rows)
    made = Adapters(lora, weights, rows, base, tagger.tokenizer, tagger.card())
    made.save(folder / "proposer")
    return folder


@pytest.fixture
def workplace(tiny_model, tmp_path, monkeypatch) -> pathlib.Path:
    """The working directory: models, a key, predictions by rules, and `bin/t5coref`."""
    from head_match import linked

    from t5coref import demo, released
    from t5coref.api import spacy_component
    from t5coref.core.document import Document
    from t5coref.corpora import conll2012, jsonl

    def by_rules(story: Document) -> Document:
        assert story.annotation is not None
        return linked(story, [(start, end) for start, end, _ in story.annotation.mentions()])

    assert spacy_component  # its import stands for the entry point
    monkeypatch.setattr(released, "default_model", lambda: tiny_model)
    monkeypatch.chdir(tmp_path)
    for name in ("models/english-small", "RUN/best"):
        shutil.copytree(tiny_model, tmp_path / name)
    stories = list(demo.stories())[:4]
    conll2012.write(stories, "dev.conll")
    for name in ("predicted", "greedy", "beam", "a", "b"):
        jsonl.write(map(by_rules, stories), f"{name}.jsonl")
    program = tmp_path / "bin" / "t5coref"
    program.parent.mkdir()
    program.write_text(STUB.format(python=sys.executable, model=str(tiny_model)), "utf-8")
    program.chmod(0o755)
    return tmp_path
