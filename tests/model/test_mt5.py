"""mT5 in the layouts of the published link-append checkpoint: Hugging Face's and T5X's old one.

The tiny model is transformers' own; its T5X form is written here with tensorstore and msgpack.
"""

from __future__ import annotations

import io
import json
import pathlib
import shutil
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sentencepiece
from flax.serialization import msgpack_serialize
from flax.traverse_util import flatten_dict, unflatten_dict

from t5coref.cli import main
from t5coref.convert import TARGETS, convert
from t5coref.core.document import Document
from t5coref.model import Format, Model
from t5coref.predict import Predictor, error_of
from t5coref.published import CHECKPOINTS
from t5coref.tokenizer import SENTINELS, Tokenizer

TEXT = [
    "coref: wb | _ the dog saw it . ** ## -> ;; [0123456789 ] None [+ E] ?",
    "_Ann_ she saw the house near the dog and it saw her .",
]
ONTONOTES = {"constraint": "reference", "window": 3000, "min_mentions": 2}
SPARE_ROWS = 12  # the table of mT5 has 250,112 rows for 250,100 pieces


@pytest.fixture(scope="module")
def pieces() -> bytes:
    """A SentencePiece model like mT5's, with the sentinels among its pieces, last."""
    proto = pytest.importorskip("sentencepiece.sentencepiece_model_pb2")
    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(  # pyright: ignore
        sentence_iterator=iter(TEXT), model_writer=file, vocab_size=100, hard_vocab_limit=False,
        character_coverage=1.0, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, num_threads=1,
        minloglevel=2,
    )  # fmt: skip
    model = proto.ModelProto.FromString(file.getvalue())
    for number in reversed(range(SENTINELS)):
        piece = model.pieces.add()
        piece.piece, piece.type = f"▁<extra_id_{number}>", piece.USER_DEFINED
    return model.SerializeToString()


@pytest.fixture(scope="module")
def published(pieces, tmp_path_factory):
    """The tiny model in both layouts, and transformers' logits for a batch."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    rows = Tokenizer(pieces, ()).size + SPARE_ROWS
    torch.manual_seed(0)
    model = transformers.MT5ForConditionalGeneration(
        transformers.MT5Config(vocab_size=rows, d_model=16, d_kv=6, d_ff=24, num_layers=2,
                               num_decoder_layers=2, num_heads=2, dropout_rate=0.0)
    ).eval()  # fmt: skip
    # transformers 5 ties the head of a fresh mT5, which no published one does.
    model.lm_head = torch.nn.Linear(16, rows, bias=False)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.normal_(1.0 if "norm" in name else 0.0, 0.3)
    state = {name: weight.numpy() for name, weight in model.state_dict().items()}
    root = tmp_path_factory.mktemp("published")
    folder = root / "link-append-xxl"
    save_as_transformers_did(folder, state, {**model.config.to_dict(), "vocab_size": rows})
    (folder / "spiece.model").write_bytes(pieces)
    rng = np.random.default_rng(0)
    source, feeds = (rng.integers(1, rows, shape).astype(np.int32) for shape in ((2, 9), (2, 7)))
    feeds[:, 0] = 0
    with torch.no_grad():
        logits = model(
            input_ids=torch.tensor(source.astype(np.int64)),
            decoder_input_ids=torch.tensor(feeds.astype(np.int64)),
        ).logits.numpy()
    step = root / "checkpoint_1140000"
    save_as_t5x_did(step, in_names_of_t5x(state))
    return types.SimpleNamespace(
        folder=folder, t5x=step, rows=rows, source=source, feeds=feeds, logits=logits
    )


def save_as_transformers_did(folder: pathlib.Path, state, config) -> None:
    """Two shards, their index, and the configuration as version 4 wrote it."""
    numpy = pytest.importorskip("safetensors.numpy")
    folder.mkdir()
    index = {}
    names = sorted(set(state) - {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight"})
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        file = f"model-{number:05}-of-00002.safetensors"
        numpy.save_file({name: np.ascontiguousarray(state[name]) for name in part}, folder / file)
        index |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    config = {**config, "architectures": ["T5ForConditionalGeneration"],
              "tie_word_embeddings": False, "transformers_version": "4.32.0"}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))


def in_names_of_t5x(state) -> dict[str, np.ndarray]:
    """The tensors of transformers' mT5 as T5X calls and turns them, layer by layer."""
    projections = {"q": "query", "k": "key", "v": "value", "o": "out"}
    blocks = {
        "SelfAttention": {"encoder": "attention", "decoder": "self_attention"},
        "EncDecAttention": {"decoder": "encoder_decoder_attention"},
    }
    norms = {
        "encoder": ["pre_attention_layer_norm", "pre_mlp_layer_norm"],
        "decoder": ["pre_self_attention_layer_norm", "pre_cross_attention_layer_norm",
                    "pre_mlp_layer_norm"],
    }  # fmt: skip
    out = {
        "token_embedder/embedding": state["shared.weight"],
        "decoder/logits_dense/kernel": state["lm_head.weight"].T,
    }
    for side, names in norms.items():
        bias = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        out[f"{side}/relpos_bias/rel_embedding"] = state[bias].T
        out[f"{side}/{side}_norm/scale"] = state[f"{side}.final_layer_norm.weight"]
        for layer in range(2):
            ours, theirs = f"{side}/layers_{layer}", f"{side}.block.{layer}.layer"
            for at, norm in enumerate(names):
                out[f"{ours}/{norm}/scale"] = state[f"{theirs}.{at}.layer_norm.weight"]
            for at, (block, sides) in enumerate(blocks.items()):
                if side in sides:
                    for short, projection in projections.items():
                        weight = state[f"{theirs}.{at}.{block}.{short}.weight"]
                        out[f"{ours}/{sides[side]}/{projection}/kernel"] = weight.T
            for matrix in ("wi_0", "wi_1", "wo"):
                weight = state[f"{theirs}.{len(names) - 1}.DenseReluDense.{matrix}.weight"]
                out[f"{ours}/mlp/{matrix}/kernel"] = weight.T
    return out


def save_as_t5x_did(folder: pathlib.Path, params: dict[str, np.ndarray]) -> None:
    """A folder of zarr for each matrix, vectors and the step in msgpack, the optimizer's state."""
    ts = pytest.importorskip("tensorstore")
    folder.mkdir()
    leaves = {"state/step": np.array(1140000, np.int32)}
    for name, values in params.items():
        leaves[f"state/param_states/{name}/v"] = np.ones(3, np.float32)
        if values.ndim < 2:
            leaves[f"target/{name}"] = values
            continue
        path = "target." + name.replace("/", ".")
        spec = {
            "driver": "zarr",
            "dtype": "float32",
            "kvstore": {"driver": "file", "path": str(folder / path)},
            "metadata": {"shape": list(values.shape), "compressor": {"id": "gzip"},
                         "chunks": [-(-n // 2) for n in values.shape]},
        }  # fmt: skip
        ts.open(spec, create=True, open=True).result().write(values).result()
        # T5X's buckets are elsewhere now: only the last part of the path counts.
        spec["kvstore"] = {"driver": "gfile", "path": path}
        leaves[f"target/{name}"] = spec
    tree = {"version": 3, "optimizer": unflatten_dict(leaves, sep="/")}
    (folder / "checkpoint").write_bytes(msgpack_serialize(tree))


def logits_of(model: Model, batch) -> np.ndarray:
    """Ours, for the batch of `published`."""
    return np.asarray(
        model.network.apply(
            {"params": model.params},
            jnp.asarray(batch.source),
            jnp.asarray(batch.feeds),
            jnp.ones_like(batch.feeds),
            enable_dropout=False,
        )
    )


def test_the_vocabulary_has_its_own_sentinels(pieces):
    tokenizer = Tokenizer(pieces, ("<m>",))
    processor = sentencepiece.SentencePieceProcessor(model_proto=pieces)  # pyright: ignore
    assert tokenizer.symbol("<m>") == processor.vocab_size() == tokenizer.size - 1
    last = tokenizer.size - 2
    assert [tokenizer.piece(last - i) for i in (0, 7, 99)] == [
        "<extra_id_0>", "<extra_id_7>", "<extra_id_99>",
    ]  # fmt: skip
    assert tokenizer.encode("the dog") == processor.encode("the dog")


def test_it_is_loaded_as_hugging_face_has_it(published):
    model = Model.load(published.folder)
    assert model.config.vocab_size == published.rows
    assert (model.config.mlp_activations, model.config.logits_via_embedding) == (
        ("gelu", "linear"), False,
    )  # fmt: skip
    assert model.tokenizer.size == published.rows - SPARE_ROWS
    assert model.format == Format("link-append", ONTONOTES)
    np.testing.assert_allclose(logits_of(model, published), published.logits, atol=2e-5)


def test_it_is_converted_from_t5x_without_any_description(published, tmp_path, capsys):
    assert {"link-append-xxl", "checkpoint_1140000"} <= CHECKPOINTS.keys()
    argv = ["convert", str(published.t5x), str(tmp_path / "ours"), "--to", "t5coref", "--quiet",
            "--format", "link-append", "--tokenizer", str(published.folder)]  # fmt: skip
    assert main(argv) == 0
    model, other = Model.load(tmp_path / "ours"), Model.load(published.folder)
    assert model.format == other.format
    assert model.tokenizer.size == other.tokenizer.size
    assert model.config.vocab_size == published.rows
    jax.tree.map(np.testing.assert_array_equal, model.params, other.params)


def test_another_mt5_is_converted_to_be_trained(published, tmp_path):
    """Under a name of its own: with the format's own options."""
    other = shutil.copytree(published.t5x, tmp_path / "checkpoint_7")
    conversion = convert(
        other,
        tmp_path / "mine",
        TARGETS["t5coref"],
        format="link-append",
        tokenizer=published.folder,
    )
    assert conversion.identity is not None
    assert conversion.identity.format == Format("link-append", {})


def test_one_command_predicts(published, tmp_path, capsys):
    text = tmp_path / "story.txt"
    text.write_text("The dog saw it. She saw the dog.")
    out = tmp_path / "out.jsonl"
    argv = ["predict", "--model", str(published.folder), "--input", str(text), "--output", str(out),
            "--quiet"]  # fmt: skip
    assert main(argv) == 0
    (record,) = [json.loads(line) for line in out.read_text().splitlines()]
    assert "error" not in record
    assert record["clusters"] == [c for c in record["clusters"] if len(c) > 1]


def test_documents_go_side_by_side_sentence_by_sentence(published):
    options = {**ONTONOTES, "longest": 8}
    model = Model.load(published.folder, format=Format("link-append", options))
    words = ("the", "dog", "saw", "it", ".", "she", "saw", "her", ".")
    documents = [
        Document(doc_id=str(i), words=words, sentences=s)
        for i, s in enumerate([((0, 5), (5, 9)), ((0, 9),), None])
    ]
    found = list(Predictor(model, devices=jax.devices()[:1]).predict(documents))
    assert [d.doc_id for d in found] == ["0", "1", "2"]
    assert [error_of(d) for d in found] == [None] * 3


def test_what_transformers_5_says_of_the_head_does_not_matter(published, tmp_path):
    again = shutil.copytree(published.folder, tmp_path / "link-append-xxl")
    config = json.loads((again / "config.json").read_text())
    (again / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))
    assert not Model.load(again).config.logits_via_embedding


def test_the_parameters_are_all_there(published):
    model = Model.load(published.folder)
    flat = flatten_dict(model.params, sep="/")
    assert flat["decoder/logits_dense/kernel"].shape == (16, published.rows)
    assert flat["encoder/relpos_bias/rel_embedding"].shape == (2, 32)
