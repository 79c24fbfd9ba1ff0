"""Published checkpoints: found by name or folder, decoded in the format they were trained with."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
import types

import jax
import numpy as np
import pytest

from t5coref.core.document import Document
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.decode.search import Greedy
from t5coref.linearize import named
from t5coref.model import Format, Model, from_scratch, pretrained
from t5coref.nn.stack import T5Config
from t5coref.predict import Predictor, error_of
from t5coref.published import CHECKPOINTS, OPTIONS
from t5coref.tokenizer import Tokenizer

TINY = T5Config(
    vocab_size=1, emb_dim=16, num_heads=2, num_encoder_layers=1, num_decoder_layers=1, head_dim=8,
    mlp_dim=32,
)  # fmt: skip

OWNER = "VincentNLP"
ONTONOTES = {"constraint": "reference", "window": 4096, "min_mentions": 2}
JOINT = ONTONOTES | {"min_mentions": 1}
CONSTRAINED, PLAIN = "ConstrainedT5", "T5ForConditionalGeneration"

# name, linearization, its options, rows of the table (pieces and sentinels of the tiny vocabulary
# are fewer than 180), class, weights, head, where the added tokens are named.
PUBLISHED = [
    ("seq2seq-coref-t0-3b", "full-copy", ONTONOTES, 192, CONSTRAINED, "bin", False,
     "added_tokens.json"),
    ("seq2seq-coref-t0-3b-token-action", "full-token", ONTONOTES, 192, PLAIN, "bin-shards", False,
     "tokenizer.json"),
    ("seq2seq-coref-t0-3b-partial-linear", "partial", ONTONOTES, 192, PLAIN, "safetensors", False,
     "tokenizer_config.json"),
    ("seq2seq-coref-t0-3b-integer-free", "integer-free", ONTONOTES, 192, CONSTRAINED, "bin", False,
     "added_tokens.json"),
    ("seq2seq-coref-t0-3b-integer-free-add-mention-end", "integer-free-end", ONTONOTES, 800,
     CONSTRAINED, "safetensors-shards", False, "tokenizer.json"),
    ("seq2seq-coref-t0-3b-joint", "full-copy", JOINT, 192, CONSTRAINED, "bin", True, None),
    ("seq2seq-coref-t0-pp", "full-copy", ONTONOTES, 192, CONSTRAINED, "bin-shards", False, None),
]  # fmt: skip


@pytest.fixture
def story() -> Document:
    words = ("the", "dog", "saw", "it", ".", "she", "saw", "him", "near", "the", "house", ".")
    return Document(doc_id="story", words=words, sentences=((0, 5), (5, 12)))


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub whose cache holds what tests put there: `hub.at(name)` is the snapshot's folder."""
    client = pytest.importorskip("huggingface_hub")
    cache = tmp_path / "cache"

    def at(name):
        return cache / f"models--{name.replace('/', '--')}" / "snapshots" / "0123abcd"

    def download(name, allow_patterns):
        if not at(name).is_dir():
            raise client.errors.LocalEntryNotFoundError(f"nothing of {name} in the cache")
        asked.append(allow_patterns)
        return str(at(name))

    asked = []
    monkeypatch.setattr(client, "snapshot_download", download)
    return types.SimpleNamespace(at=at, asked=asked)


def decode(model: Model, document: Document) -> Document:
    """Decodes within a short budget: outputs of random weights seldom end on their own."""
    options = {**model.format.options, "window": 64}
    model = dataclasses.replace(model, format=Format(model.format.name, options))
    predictor = Predictor(
        model, batch_size=1, target_ratio=1.0, search=Greedy((1,)), devices=jax.devices()[:1]
    )
    (found,) = predictor.predict([document])
    return found


@pytest.mark.parametrize(
    ("name", "linearization", "options", "rows", "architecture", "layout", "tied", "where"),
    PUBLISHED,
    ids=[row[0] for row in PUBLISHED],
)
def test_each_loads_by_name_and_folder_and_decodes(
    hub, checkpoint, tokenizer, story, tmp_path,
    name, linearization, options, rows, architecture, layout, tied, where,
):  # fmt: skip
    hub_name = f"{OWNER}/{name}"
    tensors = checkpoint(
        hub.at(hub_name), linearization, rows=rows, architecture=architecture, layout=layout,
        where=where, tie_word_embeddings=tied,
    )  # fmt: skip
    model = Model.load(hub_name)
    assert model.format == Format(linearization, options)
    assert model.tokenizer.symbols == named(linearization).symbols
    assert model.tokenizer.word_rule == "reference"
    assert model.tokenizer.model == tokenizer.model
    assert ("pytorch_model*.bin" in hub.asked[-1]) == layout.startswith("bin")

    # What was stored is kept; the rows that the symbols lack are added, to the head as well.
    needed = Tokenizer(tokenizer.model, ()).size + len(named(linearization).symbols)
    assert model.config.vocab_size == max(rows, needed)
    table = model.params["token_embedder"]["embedding"]
    np.testing.assert_array_equal(table[:rows], tensors["shared.weight"].numpy())
    assert len(table) == model.config.vocab_size
    if tied:
        assert "logits_dense" not in model.params["decoder"]
    else:
        head = model.params["decoder"]["logits_dense"]["kernel"]
        np.testing.assert_array_equal(head.T[:rows], tensors["lm_head.weight"].numpy())
        assert head.shape[1] == model.config.vocab_size

    found = decode(model, story)
    assert error_of(found) is None
    assert found.annotation.confidences is not None

    # The folder alone, under its own name and (where the tokens or the class tell) under any.
    shutil.copytree(hub.at(hub_name), tmp_path / name)
    assert Model.load(tmp_path / name).card() == model.card()
    if where:
        (tmp_path / name).rename(tmp_path / "anonymous")
        anonymous = Model.load(tmp_path / "anonymous")
        assert anonymous.format == Format(linearization, options)
        assert decode(anonymous, story) == found

    # Saved, it is a folder of ours.
    model.save(tmp_path / "saved")
    again = Model.load(tmp_path / "saved")
    assert again.card() == model.card()
    assert again.config == model.config
    assert again.fingerprint() == model.fingerprint()


def test_the_table_of_names_is_the_one_tested():
    assert [row[0] for row in PUBLISHED] == [n for n in CHECKPOINTS if n.startswith("seq2seq")]
    for name, linearization, options, *_ in PUBLISHED:
        assert CHECKPOINTS[name].format == linearization
        assert dict(OPTIONS) | {"min_mentions": CHECKPOINTS[name].min_mentions} == options


def test_weights_are_read_alike_from_every_layout(checkpoint, tmp_path):
    loaded = []
    for layout in ("bin", "bin-shards", "safetensors", "safetensors-shards"):
        checkpoint(tmp_path / layout, "full-copy", layout=layout)
        loaded.append(Model.load(tmp_path / layout))
    for other in loaded[1:]:
        assert other.card() == loaded[0].card()
        assert other.fingerprint() == loaded[0].fingerprint()


def test_bfloat16_weights_are_computed_with_as_they_are(checkpoint, tmp_path):
    tensors = checkpoint(tmp_path / "half", "full-copy", dtype="bfloat16")
    model = Model.load(tmp_path / "half")
    assert model.config.dtype == "bfloat16"
    assert Model.load(tmp_path / "half", dtype="float32").config.dtype == "float32"
    table = model.params["token_embedder"]["embedding"]
    assert table.dtype == np.float32
    np.testing.assert_array_equal(table, tensors["shared.weight"].float().numpy())


def test_files_of_old_torch_versions(checkpoint, tmp_path):
    torch = pytest.importorskip("torch")
    checkpoint(tmp_path / "old", "full-copy")
    new = Model.load(tmp_path / "old").fingerprint()
    file = tmp_path / "old/pytorch_model.bin"
    torch.save(torch.load(file), file, _use_new_zipfile_serialization=False)
    assert Model.load(tmp_path / "old").fingerprint() == new


def test_a_copy_that_was_saved_again_is_known_by_its_origin(checkpoint, tmp_path):
    """transformers 4 notes where a model came from, and cannot keep the constrained class."""
    origin = f"{OWNER}/seq2seq-coref-t0-3b-joint"
    checkpoint(tmp_path / "copy", "full-copy", architecture=PLAIN, _name_or_path=origin)
    assert Model.load(tmp_path / "copy").format == Format("full-copy", JOINT)
    # Trained further in another format: the tokens count.
    checkpoint(tmp_path / "further", "partial", architecture=PLAIN, _name_or_path=origin)
    assert Model.load(tmp_path / "further").format == Format("partial", ONTONOTES)


@pytest.mark.parametrize("linearization", ["integer-free", "integer-free-end"])
def test_rows_tell_integer_free_formats_apart(checkpoint, tokenizer, tmp_path, linearization):
    rows = Tokenizer(tokenizer.model, named(linearization).symbols).size
    checkpoint(tmp_path / "x", linearization, rows=rows, architecture=None, where=None)
    assert Model.load(tmp_path / "x").format.name == linearization


def test_what_stays_unclear_is_asked_for(checkpoint, tmp_path):
    cases = {
        "class": ({"architecture": None}, "architecture none.*added tokens <speaker> </speaker>"),
        "tokens": ({"where": None}, "architecture ConstrainedT5, vocab_size 192 and no added tok"),
        "plain": ({"where": None, "architecture": PLAIN}, "no added tokens; if it was trained"),
        "again": ({"architecture": PLAIN, "transformers_version": "5.1.0"}, "cannot tell which"),
    }
    for folder, (changes, message) in cases.items():
        checkpoint(tmp_path / folder, "full-copy", **changes)
        with pytest.raises(ConfigError, match=message) as error:
            Model.load(tmp_path / folder)
        assert "--linearization full-copy" in str(error.value)
        assert "format='full-copy'" in str(error.value)
        assert Model.load(tmp_path / folder, format="full-copy").format.options == ONTONOTES
    chosen = Format("tagging", {"window": 32})
    assert Model.load(tmp_path / "class", format=chosen).format == chosen


def test_contradictions_are_refused(checkpoint, tmp_path):
    named_wrongly = tmp_path / "seq2seq-coref-t0-3b"
    checkpoint(named_wrongly, "partial")
    with pytest.raises(MismatchError, match=r"was trained for full-copy, .* those of partial; ren"):
        Model.load(named_wrongly)
    with pytest.raises(
        MismatchError, match=r"'integer-free' needs .* \(505\); .* of partial; name"
    ):
        Model.load(named_wrongly, format="integer-free")
    assert Model.load(named_wrongly, format="partial").format == Format("partial", ONTONOTES)
    with pytest.raises(ConfigError, match="no linearization is called 'partially'"):
        Model.load(named_wrongly, format="partially")


def test_added_tokens_must_stand_behind_the_pieces(checkpoint, tmp_path):
    checkpoint(tmp_path / "x", "full-copy")
    tokens = json.loads((tmp_path / "x/added_tokens.json").read_text())
    moved = {token: i + 1 for token, i in tokens.items()}
    (tmp_path / "x/added_tokens.json").write_text(json.dumps(moved))
    with pytest.raises(MismatchError, match=r"expected 5 from .* on, behind the pieces"):
        Model.load(tmp_path / "x")


def test_the_vocabulary_comes_from_the_folder_or_the_cache(checkpoint, tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    checkpoint(tmp_path / "x", "full-copy")
    (tmp_path / "x/spiece.model").rename(tmp_path / "elsewhere.model")
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda repo, file: None)
    with pytest.raises(ConfigError, match=r"no spiece.model.*google-t5/t5-small"):
        Model.load(tmp_path / "x")

    def cached(repo, file):
        return str(tmp_path / "elsewhere.model") if repo == "bigscience/T0_3B" else None

    monkeypatch.setattr(hub, "try_to_load_from_cache", cached)
    assert Model.load(tmp_path / "x").format.name == "full-copy"


def test_what_is_no_model_is_said_clearly(hub, checkpoint, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"no t5coref model: expected t5coref.json"):
        Model.load(tmp_path / "empty")
    for load in (Model.load, pretrained):
        with pytest.raises(ConfigError, match=r"'VincentNLP/nothing'.*could not be fetched"):
            load("VincentNLP/nothing")
    checkpoint(tmp_path / "x", "full-copy")
    (tmp_path / "x/config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"config.json: expected JSON"):
        Model.load(tmp_path / "x")
    checkpoint(tmp_path / "y", "full-copy")
    (tmp_path / "y/pytorch_model.bin").write_bytes(b"<html>not found</html>")
    with pytest.raises(ConfigError, match=r"pytorch_model.bin: expected tensors in PyTorch's"):
        Model.load(tmp_path / "y")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ConfigError, match=r"expected torch to read it, it is not installed"):
        Model.load(tmp_path / "y")


def test_a_file_that_would_run_code_is_refused(checkpoint, tmp_path):
    torch = pytest.importorskip("torch")
    checkpoint(tmp_path / "x", "full-copy")
    torch.save({"shared.weight": Document}, tmp_path / "x/pytorch_model.bin")
    with pytest.raises(ConfigError, match="expected tensors in PyTorch's format and nothing else"):
        Model.load(tmp_path / "x")


def test_training_starts_from_names_too(hub, checkpoint, tokenizer):
    checkpoint(hub.at("someone/t5"), "full-copy", where=None)
    model = pretrained("someone/t5", format=Format("integer-free"))
    assert model.config.vocab_size == Tokenizer(tokenizer.model, model.format.symbols).size
    assert model.tokenizer.word_rule == "strict"


def test_symbols_with_numbers_may_start_as_their_numbers(hub, checkpoint, tokenizer):
    checkpoint(hub.at("someone/t5"), "full-copy", where=None)
    format = Format("iterative-ids")
    plain = pretrained("someone/t5", format=format)
    model = pretrained("someone/t5", format=format, numbers_as_pieces=True)
    tables = [np.asarray(m.params["token_embedder"]["embedding"]) for m in (plain, model)]
    for number in (0, 7, 123):
        pieces = [tokenizer.encode(str(number))]
        pieces = [p for p in pieces[0] if tokenizer.piece(p) != "▁"]
        for symbol in (f"<m{number}>", f"<c{number}>"):
            row = tables[1][model.tokenizer.symbol(symbol)]
            np.testing.assert_allclose(row, tables[0][pieces].mean(axis=0), rtol=1e-5, atol=1e-6)
    kept = [model.tokenizer.symbol(s) for s in ("</m>", "</new>")]
    np.testing.assert_array_equal(tables[1][kept], tables[0][kept])
    size = Tokenizer(tokenizer.model, ()).size
    np.testing.assert_array_equal(*(table[:size] for table in tables))


def test_a_format_goes_on_with_the_symbols_of_another(tokenizer, tmp_path):
    """Which have other ids there; what else was under those ids is of no account."""
    before = from_scratch(TINY, Tokenizer(tokenizer.model, Format("full-copy").symbols))
    before.save(tmp_path / "before")
    after = pretrained(str(tmp_path / "before"), format=Format("iterative-text"))
    both = set(before.tokenizer.symbols) & set(after.tokenizer.symbols)
    assert both == {"<speaker>", "</speaker>", "</m>", "<copy>"}
    assert before.tokenizer.symbol("</m>") != after.tokenizer.symbol("</m>")
    tables = [
        (m.params["token_embedder"]["embedding"], m.params["decoder"]["logits_dense"]["kernel"].T)
        for m in (before, after)
    ]
    for old, new in zip(*tables, strict=True):
        for symbol in both:
            ids = before.tokenizer.symbol(symbol), after.tokenizer.symbol(symbol)
            np.testing.assert_array_equal(old[ids[0]], new[ids[1]])
        size = Tokenizer(tokenizer.model, ()).size
        np.testing.assert_array_equal(old[:size], new[:size])
    same = pretrained(str(tmp_path / "before"), format=Format("full-copy"))
    np.testing.assert_array_equal(same.params["token_embedder"]["embedding"], tables[0][0])


# The layouts that the published implementation's own decodes were made with.
KINDS = {
    "int": "seq2seq-coref-t0-3b",
    "token": "seq2seq-coref-t0-3b-token-action",
    "partial": "seq2seq-coref-t0-3b-partial-linear",
    "free": "seq2seq-coref-t0-3b-integer-free",
    "free_end": "seq2seq-coref-t0-3b-integer-free-add-mention-end",
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_models_load_under_the_published_names(shared, tmp_path, kind):
    source = shared / "data/reference_seq2seq/decode"
    vocabulary = shared / "data/t5/spiece.model"
    if not source.is_dir() or not vocabulary.is_file():
        pytest.skip(f"needs {source} and {vocabulary}")
    folder = tmp_path / KINDS[kind]
    folder.mkdir()
    shutil.copy(source / f"{kind}.config.json", folder / "config.json")
    shutil.copy(source / f"{kind}.safetensors", folder / "model.safetensors")
    shutil.copy(vocabulary, folder / "spiece.model")
    model = Model.load(folder)
    assert model.format == Format(CHECKPOINTS[KINDS[kind]].format, ONTONOTES)
    ids = json.loads((source / "cases.json").read_text())["special_ids"]
    known = {"free": "free", "free_end": "free_end"}.get(kind, "int")
    assert model.tokenizer.symbol("<copy>") == ids[known]["copy"]
    assert model.tokenizer.symbol("<m>") == ids[known]["mention_start"]
    assert model.config.vocab_size == json.loads((folder / "config.json").read_text())["vocab_size"]


def test_tokens_are_found_as_transformers_writes_them(shared, checkpoint, tmp_path):
    transformers = pytest.importorskip("transformers")
    vocabulary = shared / "data/t5/spiece.model"
    if not vocabulary.is_file():
        pytest.skip(f"needs {vocabulary}")
    for linearization in ("full-copy", "integer-free-end"):
        folder = tmp_path / linearization
        checkpoint(folder, linearization, rows=32128, where=None)
        shutil.copy(vocabulary, folder / "spiece.model")
        tokenizer = transformers.T5Tokenizer.from_pretrained(str(folder))
        tokenizer.add_tokens(list(named(linearization).symbols))
        tokenizer.save_pretrained(str(folder))
        model = Model.load(folder)
        assert model.format.name == linearization
        assert model.config.vocab_size == max(32128, 32100 + len(named(linearization).symbols))
        assert model.tokenizer.symbol("<m>") == tokenizer.convert_tokens_to_ids("<m>")
