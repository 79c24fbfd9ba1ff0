"""Learning to find mentions through `fit`, the head, and the proposer."""

from __future__ import annotations

import functools
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5coref.compress import compress
from t5coref.core.document import Annotation, Document
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.core.given_mentions import given, with_mentions
from t5coref.downstream.head_model import HeadModel, head_model
from t5coref.downstream.head_objective import HeadObjective
from t5coref.extractors import load_extractor
from t5coref.mentions import MentionProposer, MentionScorer, MentionTagging
from t5coref.mentions.metrics import gold_spans
from t5coref.model import Format, Model, from_scratch
from t5coref.nn.downstream import TaggingHead
from t5coref.nn.downstream.tagging import NO_TAG, TAG
from t5coref.nn.lora import LoRA
from t5coref.nn.stack import T5Config
from t5coref.tokenizer import Tokenizer
from t5coref.train.inputs import vocabulary
from t5coref.train.loop import fit
from t5coref.train.optimizers import adamw

TINY = T5Config(
    vocab_size=1, emb_dim=16, num_heads=2, num_encoder_layers=1, num_decoder_layers=1, head_dim=8,
    mlp_dim=32, dropout_rate=0.0,
)  # fmt: skip
UNITS = (("the", "dog"), ("her", "dog"), ("saw",), ("she",), ("near",), ("Ben",))


def story(seed, units=12):
    """Mentions are "the dog", "her dog" and "her" in it, "she" and "Ben"."""
    rng = np.random.default_rng(seed)
    text, spans = [], []
    for unit in (UNITS[i] for i in rng.integers(0, len(UNITS), units)):
        if unit[0] not in ("saw", "near"):
            spans.append((len(text), len(text) + len(unit)))
        if unit[0] == "her":
            spans.append((len(text), len(text) + 1))
        text += unit
    clusters = tuple((span,) for span in spans)
    return Document(doc_id=f"s{seed}", words=tuple(text), annotation=Annotation(clusters))


@functools.cache
def optimizer(total):
    return adamw(total, peak=1e-2, warmup=0, decay="constant")


@pytest.fixture(scope="module")
def stories():
    return [story(seed) for seed in range(12)]


@pytest.fixture(scope="module")
def base(stories):
    """Its tokenizer has a piece for each word."""
    return from_scratch(TINY, vocabulary(documents=stories, size=64))


@pytest.fixture(scope="module")
def trained(base, stories, tmp_path_factory):
    task = MentionTagging(
        train_set=stories, dev_set=stories, window=12, max_depth=3, hidden_dim=32, dropout_rate=0.0
    )
    objective = HeadObjective(base=base, task=task, eval_batch_size=8)
    folder = tmp_path_factory.mktemp("run")
    return fit(
        objective=objective, output_dir=folder, steps=60, batch_size=8, eval_every=30,
        optimizer=optimizer,
    )  # fmt: skip


@pytest.fixture(scope="module")
def proposer(trained):
    return MentionProposer.load(trained.best, batch_size=8)


def test_it_learns_and_proposes(trained, proposer, stories):
    assert trained.scores["mention_f1"] > 0.95
    scorer = MentionScorer()
    for document, found in zip(stories, proposer.predict(stories), strict=True):
        assert given(found).source == "predicted"
        assert found.annotation == document.annotation
        scorer.add(gold_spans(document), given(found).spans)
    prf = scorer.compute()
    names = ("mention_precision", "mention_recall", "mention_f1")
    np.testing.assert_allclose(prf, [trained.scores[name] for name in names])


@pytest.fixture(scope="module")
def with_proposer(base, stories, tmp_path_factory):
    """A model of a format that is told the mentions, and the adapters of a proposer in its folder;
    and the same proposer whole.
    """
    folder = tmp_path_factory.mktemp("reader")
    symbols = Format("iterative-text").symbols
    reader = from_scratch(TINY, Tokenizer(base.tokenizer.model, symbols),
                          format=Format("iterative-text", {"window": 64}))  # fmt: skip
    reader.save(folder / "float")
    compress(reader, folder / "eight")
    reader = Model.load(folder / "eight")
    task = MentionTagging(
        train_set=stories, dev_set=stories, window=12, max_depth=3, hidden_dim=32, dropout_rate=0.0
    )
    result = fit(
        objective=HeadObjective(base=reader, task=task, eval_batch_size=8, scan_layers=True),
        output_dir=folder / "run", steps=60, batch_size=8, eval_every=60, optimizer=optimizer,
        lora=LoRA(rank=8),
    )  # fmt: skip
    shutil.copytree(result.best / "adapters", folder / "eight" / "proposer")
    return folder, result.best


def test_a_proposer_of_adapters_in_the_folder_of_a_model(with_proposer, stories):
    """It is found there, and is the one whose weights were merged."""
    folder, merged = with_proposer
    whole = [given(d).spans for d in MentionProposer.load(merged).predict(stories)]
    assert sum(map(len, whole)) > len(stories)
    for place in (folder / "eight", folder / "eight" / "proposer"):
        beside = MentionProposer.load(place)
        assert [given(d).spans for d in beside.predict(stories)] == whole

    raw = [d.with_annotation(None) for d in stories]
    told = load_extractor(folder / "eight", batch_size=4)
    assert [given(d) for d in told.predict(raw)] == [(spans, "predicted") for spans in whole]
    assert told.identity["mentions"]["proposer"]["bias"] == 0.0
    carried = with_mentions(raw[0], [(0, 1)], "given")
    assert given(next(told.predict([carried]))) == (((0, 1),), "given")


def test_adapters_of_a_proposer_beside_another_model(with_proposer):
    folder, _ = with_proposer
    adapters = folder / "eight" / "proposer"
    with pytest.raises(MismatchError, match="give the T5 that training began with"):
        MentionProposer.load(adapters, base=Model.load(folder / "float"))


def test_no_annotation_is_needed_nor_seen(proposer, stories):
    bare = [d.with_annotation(None) for d in stories]
    wrong = [d.with_annotation(Annotation((((0, 5),),))) for d in stories]
    found = [[given(d) for d in proposer.predict(these)] for these in (stories, bare, wrong)]
    assert found[0] == found[1] == found[2]


def test_proposals_do_not_depend_on_their_company(trained, proposer, stories):
    together = [given(d) for d in proposer.predict([*stories, Document(doc_id="e", words=())])]
    assert together[-1].spans == ()
    one = MentionProposer.load(trained.best, batch_size=8, round_size=1)
    assert [given(d) for d in one.predict(stories)] == together[:-1]


def test_a_bias_finds_more(trained, proposer, stories):
    eager = MentionProposer(proposer.model, bias=50.0, batch_size=8)
    few, many = ([given(d).spans for d in p.predict(stories)] for p in (proposer, eager))
    assert sum(map(len, many)) > sum(map(len, few))
    assert eager.identity["bias"] == 50.0
    assert json.loads(json.dumps(proposer.identity))["bias"] == 0.0
    with pytest.raises(ConfigError, match="bias is nan"):
        MentionProposer(proposer.model, bias=float("nan"))


def test_the_card_has_what_proposing_needs(trained):
    model = HeadModel.load(trained.best)
    assert (model.task, model.head) == ("mentions", TaggingHead(12, 32, 0.0))
    assert model.data == {"window": 12, "stride": 9, "max_depth": 3, "bias": 0.0}


def test_models_of_other_tasks_are_refused(base):
    other = head_model(base=base, head=TaggingHead(3), task="other")
    with pytest.raises(MismatchError, match="one for other; expected one for mentions"):
        MentionProposer(other)


def test_settings_and_notes(tokenizer, stories):
    crossing = stories[0].with_annotation(Annotation((((0, 3), (2, 5)), ((1, 2),))))
    task = MentionTagging(train_set=[crossing], window=24)
    assert task.scorer(tokenizer) is None
    (note,) = task.notes(task.rows(tokenizer))
    assert note.startswith("1 gold mentions cross others or lie deeper than 5")
    assert task.settings != MentionTagging(train_set=stories, window=24).settings
    json.dumps(task.settings)
    for wrong in ({"bias": float("inf")}, {"max_depth": 0}, {"window": 8, "stride": 8}):
        with pytest.raises(ConfigError, match="expected"):
            MentionTagging(train_set=stories, **wrong)


def test_the_loss_is_that_of_the_pieces_with_a_tag():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((2, 5, 4)).astype(np.float32)
    tag = np.asarray([[1, NO_TAG, 3, 0, NO_TAG], [NO_TAG, NO_TAG, 2, NO_TAG, NO_TAG]], np.int32)
    total, weight = TaggingHead(4).losses(jnp.asarray(logits), {TAG: jnp.asarray(tag)})
    log = logits - np.log(np.exp(logits.astype(np.float64)).sum(-1, keepdims=True))
    wanted = [-(log[0, 0, 1] + log[0, 2, 3] + log[0, 3, 0]), -log[1, 2, 2]]
    np.testing.assert_allclose(total, wanted, rtol=1e-5)
    assert weight.tolist() == [3, 1]


def test_scores_are_float32_whatever_the_encoder_is():
    head = TaggingHead(4, 8)
    states = jnp.ones((1, 3, 16), jnp.bfloat16)
    params = head.init(jax.random.key(0), states, {}, deterministic=True)
    assert head.apply(params, states, {}, deterministic=True).dtype == jnp.float32
