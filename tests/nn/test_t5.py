from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.linen import partitioning
from flax.traverse_util import flatten_dict

from t5coref.nn import T5, attention, for_decoding, scan_params, unscan_params
from t5coref.nn.t5 import head_kernel

LAYER = """
{at}/query/kernel (16, 12) embed joined_kv
{at}/key/kernel (16, 12) embed joined_kv
{at}/value/kernel (16, 12) embed joined_kv
{at}/out/kernel (12, 16) joined_kv embed
"""
GATED = """
{at}/mlp/wi_0/kernel (16, 24) embed mlp
{at}/mlp/wi_1/kernel (16, 24) embed mlp
{at}/mlp/wo/kernel (24, 16) mlp embed
"""
PLAIN = """
{at}/mlp/wi/kernel (16, 24) embed mlp
{at}/mlp/wo/kernel (24, 16) mlp embed
"""
OUTSIDE = """
token_embedder/embedding (40, 16) vocab embed
encoder/relpos_bias/rel_embedding (2, 8) heads relpos_buckets
encoder/encoder_norm/scale (16,) embed
decoder/relpos_bias/rel_embedding (2, 8) heads relpos_buckets
decoder/decoder_norm/scale (16,) embed
"""
HEAD = "decoder/logits_dense/kernel (16, 40) embed vocab"


def golden(version: str) -> set[str]:
    """The parameters of `t5x.examples.t5.network` for the tiny config: path, shape, axes."""
    mlp = {"1.0": PLAIN, "1.1": GATED}[version]
    lines = [OUTSIDE, HEAD if version == "1.1" else ""]
    for i in range(1):
        at = f"encoder/layers_{i}"
        lines += [LAYER.format(at=f"{at}/attention"), mlp.format(at=at)]
        lines += [
            f"{at}/pre_{block}_layer_norm/scale (16,) embed" for block in ("attention", "mlp")
        ]
    for i in range(2):
        at = f"decoder/layers_{i}"
        lines += [LAYER.format(at=f"{at}/self_attention")]
        lines += [LAYER.format(at=f"{at}/encoder_decoder_attention"), mlp.format(at=at)]
        lines += [
            f"{at}/pre_{block}_layer_norm/scale (16,) embed"
            for block in ("self_attention", "cross_attention", "mlp")
        ]
    return {line for text in lines for line in text.splitlines() if line}


@pytest.fixture(scope="module")
def tiny(tiny):
    """Fewer layers than for parity: here programs are compiled by the dozen."""
    return functools.partial(tiny, num_encoder_layers=1, num_decoder_layers=2)


def assert_trees_close(got, want, tolerance=2e-6):
    for (path, x), y in zip(
        jax.tree_util.tree_leaves_with_path(got), jax.tree.leaves(want), strict=True
    ):
        np.testing.assert_allclose(x, y, atol=tolerance, err_msg=jax.tree_util.keystr(path))


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_parameters_are_those_of_t5x(make, tiny, version):
    variables = make(tiny(version))[1]
    axes = {
        path.removesuffix("_axes"): axes.names
        for path, axes in flatten_dict(variables["params_axes"], sep="/").items()
    }
    got = {
        " ".join([path, str(leaf.shape), *axes[path]])
        for path, leaf in flatten_dict(variables["params"], sep="/").items()
    }
    assert got == golden(version)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(variables["params"])} == {"float32"}


def test_initial_scale_is_that_of_t5x(tiny, batch, jit):
    config = tiny(emb_dim=64, head_dim=32, mlp_dim=128, num_decoder_layers=1)
    init = jit(functools.partial(T5(config).init, enable_dropout=False))
    params = init(jax.random.key(0), *batch)["params"]
    layer = params["encoder"]["layers_0"]
    deviations = {
        "embedding": (params["token_embedder"]["embedding"], 1.0),
        "query": (layer["attention"]["query"]["kernel"], (64 * 32) ** -0.5),
        "key": (layer["attention"]["key"]["kernel"], 64**-0.5),
        "out": (layer["attention"]["out"]["kernel"], 64**-0.5),
        "wi": (layer["mlp"]["wi_0"]["kernel"], 64**-0.5),
        "wo": (layer["mlp"]["wo"]["kernel"], 128**-0.5),
        "head": (params["decoder"]["logits_dense"]["kernel"], 64**-0.5),
    }
    for name, (kernel, expected) in deviations.items():
        assert float(jnp.std(kernel)) == pytest.approx(expected, rel=0.1), name


def test_scanned_parameters_carry_the_layers_on_axis_one(make, tiny):
    variables = make(tiny(scan_layers=True))[1]
    query = variables["params"]["decoder"]["layers"]["self_attention"]["query"]["kernel"]
    axes = variables["params_axes"]["decoder"]["layers"]["self_attention"]["query"]["kernel_axes"]
    assert query.shape == (16, 2, 12)
    assert axes.names == ("embed", "layers", "joined_kv")
    assert T5(tiny(scan_layers=True)).scan_layers


def test_every_parameter_has_a_gradient(make, tiny, batch, compiled):
    model, variables = make(tiny())
    loss, gradients = compiled(model).loss_and_gradients(variables["params"], batch)
    assert np.isfinite(loss)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
        assert float(jnp.abs(leaf).max()) > 0, jax.tree_util.keystr(path)


@pytest.mark.parametrize(("scan", "remat"), [(True, False), (False, True), (True, True)])
def test_scan_and_remat_change_nothing(make, tiny, batch, scan, remat, compiled):
    plain, variables = make(tiny())
    params = variables["params"]
    want_loss, want = compiled(plain).loss_and_gradients(params, batch)
    other = T5(tiny(scan_layers=scan, remat=remat))
    loss, gradients = compiled(other).loss_and_gradients(
        scan_params(params) if scan else params, batch
    )
    np.testing.assert_allclose(loss, want_loss, rtol=1e-6)
    assert_trees_close(unscan_params(gradients) if scan else gradients, want)


def test_scan_params_and_back_is_exact(make, tiny):
    params = make(tiny())[1]["params"]
    for tree in (params, jax.tree.map(np.asarray, params)):
        back = unscan_params(scan_params(tree))
        assert jax.tree.structure(back) == jax.tree.structure(tree)
        jax.tree.map(np.testing.assert_array_equal, back, tree)
        kinds = {type(leaf) for leaf in jax.tree.leaves(scan_params(tree))}
        assert kinds == {type(leaf) for leaf in jax.tree.leaves(tree)}
    with pytest.raises(ValueError, match="expected scanned 'layers'"):
        unscan_params(params)
    with pytest.raises(ValueError, match="expected unscanned layers_0"):
        scan_params(scan_params(params))


def test_dropout_follows_its_rng_and_can_be_off(make, tiny, batch, compiled):
    model, variables = make(tiny())
    run = functools.partial(compiled(model).logits, variables["params"], batch)
    first, again, other = (run(rng=jax.random.key(i)) for i in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert float(jnp.abs(first - other).max()) > 0.01
    plain = T5(tiny(dropout_rate=0.0))
    np.testing.assert_allclose(run(), compiled(plain).logits(variables["params"], batch), atol=5e-6)


def test_bfloat16_is_close_and_ends_in_float32(make, tiny, batch, compiled):
    params = make(tiny())[1]["params"]
    want = compiled(T5(tiny())).logits(params, batch)
    got = compiled(T5(tiny(dtype="bfloat16"))).logits(params, batch)
    assert got.dtype == jnp.float32
    real = np.asarray(batch.targets) > 0
    error = np.abs(np.asarray(got - want))[real]
    assert 0 < error.mean() < 0.02
    assert error.max() < 0.5


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_sliced_head_gives_those_columns(make, tiny, batch, version, compiled):
    model, variables = make(tiny(version))
    symbols = jnp.array([0, 39, 7, 7, 12], jnp.int32)
    full = compiled(model).logits(variables["params"], batch)
    sliced = compiled(model).logits(variables["params"], batch, symbols=symbols)
    np.testing.assert_allclose(sliced, full[..., symbols], atol=1e-6)


def test_padding_changes_nothing(make, tiny, batch, compiled):
    model, variables = make(tiny())
    params = variables["params"]
    want = compiled(model).logits(params, batch)
    wider = [jnp.pad(x, ((0, 0), (0, 5))) for x in batch]
    real = np.asarray(batch.targets) > 0
    got = compiled(model).logits(params, type(batch)(*wider))[:, :22]
    np.testing.assert_allclose(got[real], want[real], atol=5e-6)


@pytest.mark.parametrize("scan", [False, True])
def test_attention_in_blocks_changes_nothing(make, tiny, batch, compiled, scan):
    """22 targets and 24 sources in blocks of 8: logits and gradients."""
    model, variables = make(tiny(scan_layers=scan, remat=scan))
    params = variables["params"]
    blocks = T5(dataclasses.replace(model.config, attention_block=8))
    want, got = (compiled(m).logits(params, batch) for m in (model, blocks))
    np.testing.assert_allclose(got, want, atol=5e-6)
    want, got = (compiled(m).loss_and_gradients(params, batch) for m in (model, blocks))
    assert_trees_close(got, want)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_hidden_states_times_the_head_are_the_logits(make, tiny, batch, version, compiled, jit):
    model, variables = make(tiny(version))
    params = variables["params"]
    symbols = jnp.array([0, 39, 7], jnp.int32)
    hidden = jit(functools.partial(model.apply, enable_dropout=False, method="hidden"))(
        {"params": params}, *batch
    )
    for chosen in (None, symbols):
        want = compiled(model).logits(params, batch, symbols=chosen)
        got = hidden @ head_kernel(model.config, params, chosen)
        np.testing.assert_allclose(got, want, atol=5e-6)


def test_packed_documents_do_not_see_each_other(make, tiny, batch, compiled, jit):
    model, variables = make(tiny())
    want = compiled(model).logits(variables["params"], batch)
    # Rows 1 (9 source tokens, 15 targets) and 2 (17 and 3) in one row.
    pack = lambda x, a, b: jnp.concatenate([x[1, :a], x[2, :b]])[None]  # noqa: E731
    segments = lambda a, b: jnp.array([[1] * a + [2] * b], jnp.int32)  # noqa: E731
    apply = jit(functools.partial(model.apply, enable_dropout=False))
    got = apply(
        {"params": variables["params"]},
        pack(batch.source, 9, 17),
        pack(batch.feeds, 15, 3),
        pack(batch.targets, 15, 3),
        encoder_segment_ids=segments(9, 17),
        decoder_segment_ids=segments(15, 3),
    )
    np.testing.assert_allclose(got[0, :15], want[1, :15], atol=5e-6)
    np.testing.assert_allclose(got[0, 15:], want[2, :3], atol=5e-6)


@pytest.fixture(scope="module")
def start(make, batch, jit):
    """Starts a cache of 22 slots; returns it and a jitted step."""

    @functools.cache
    def run(config, beams=1, block=attention.BLOCK):
        model, variables = make(dataclasses.replace(config, scan_layers=False))
        model = T5(config)
        params = variables["params"]
        params = {"params": scan_params(params) if config.scan_layers else params}

        @jit
        def init(source):
            encoded = model.apply(params, source, enable_dropout=False, method="encode")
            return model.apply(
                params, encoded, source, 22, beams, method="init_cache", mutable=["cache"]
            )[1]["cache"]

        @jit
        def step(cache, tokens, positions, visible=None):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(attention, "BLOCK", block)
                logits, state = model.apply(
                    {**params, "cache": cache},
                    tokens,
                    positions,
                    visible=visible,
                    method="decode_step",
                    mutable=["cache"],
                )
            return logits, state["cache"]

        return init(batch.source), step

    return run


@pytest.mark.parametrize("scan", [False, True])
def test_cache_has_its_rows_on_the_documented_axis(tiny, start, scan):
    cache, _ = start(tiny(scan_layers=scan), beams=2)
    decoder = cache["decoder"]
    layers = [decoder["layers"]] if scan else [decoder[f"layers_{i}"] for i in range(2)]
    lead = (2,) if scan else ()
    for layer in layers:
        assert layer["self_attention"]["cached_key"].shape == (*lead, 3, 2, 44, 6)
        assert layer["self_attention"]["cached_value"].shape == (*lead, 3, 2, 6, 44)
        assert layer["encoder_decoder_attention"]["cached_key"].shape == (*lead, 3, 2, 24, 6)
        assert layer["encoder_decoder_attention"]["cached_mask"].shape == (*lead, 3, 24)
    assert len(jax.tree.leaves(cache)) == 5 * len(layers)


@pytest.mark.parametrize("scan", [False, True])
def test_beams_are_their_hypotheses_decoded_alone(make, tiny, batch, start, scan, compiled):
    """Random ancestries, rows at their own positions, and steps taken back."""
    beams, length = 3, 22
    rng = np.random.default_rng(0)
    cache, step = start(tiny(scan_layers=scan), beams=beams, block=7)
    cache = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf - 1e6 if "self_attention" in jax.tree_util.keystr(path) else leaf,
        cache,
    )
    # For each row and position, the tokens and the slots of every beam so far.
    pasts = [[[([], [])] * beams] for _ in range(3)]
    sources, feeds, ends, got = [], [], [], []
    positions = np.zeros(3, np.int32)
    taken_back = 0
    for _ in range(30):
        count = int(rng.integers(1, 3))
        tokens = rng.integers(0, 40, (3, count, beams)).astype(np.int32)
        visible = np.zeros((3, count, beams, length * beams), bool)
        for row, (past, first) in enumerate(zip(pasts, positions, strict=True)):
            parents = [past[first][j] for j in rng.integers(0, beams, beams)]
            for i, at in enumerate(range(first, first + count)):
                extended = [
                    ([*fed, token], [*slots, at * beams + j])
                    for j, ((fed, slots), token) in enumerate(
                        zip(parents, tokens[row, i], strict=True)
                    )
                ]
                past[at + 1 :] = [extended]
                for j, (fed, slots) in enumerate(extended):
                    visible[row, i, j, slots] = True
                    sources.append(batch.source[row])
                    feeds.append(np.pad(fed, (0, length - len(fed))))
                    ends.append(at)
                parents = extended
        logits, cache = step(cache, tokens.reshape(3, -1), positions, visible)
        got += [logits[row, j, :] for row in range(3) for j in range(count * beams)]
        back = rng.random(3) < 0.2
        taken_back += back.sum()
        ahead = np.where(back, np.maximum(positions - 2, 0), positions + count)
        positions = np.minimum(ahead, length - 2).astype(np.int32)
    assert taken_back > 5
    assert positions.max() > 10
    model, variables = make(tiny())
    every = type(batch)(jnp.stack(sources), jnp.stack(feeds), jnp.ones_like(jnp.stack(feeds)))
    want = compiled(model).logits(variables["params"], every)
    np.testing.assert_allclose(jnp.stack(got), want[np.arange(len(ends)), ends], atol=2e-5)


def test_visible_must_fit_the_cache(tiny, batch, start):
    cache, step = start(tiny())
    with pytest.raises(ValueError, match="expected visible to be"):
        step(cache, batch.feeds[:, :2], jnp.zeros((3,), jnp.int32), jnp.ones((3, 1, 2, 23), bool))


def test_several_tokens_are_read_as_their_mean(make, tiny, batch, start, compiled):
    model, variables = make(tiny())
    params = variables["params"]
    table = np.array(params["token_embedder"]["embedding"])
    unused = min(set(range(40)) - set(np.asarray(batch.source).flat))
    table[unused] = (table[38] + table[39]) / 2
    mixed = {**params, "token_embedder": {"embedding": jnp.asarray(table)}}
    feeds = np.where(batch.feeds == unused, 0, batch.feeds)
    feeds[:, 4] = unused
    want = compiled(model).logits(mixed, batch._replace(feeds=jnp.asarray(feeds)))
    pairs = np.stack([feeds, feeds], axis=-1)
    pairs[:, 4] = [38, 39]
    pairs = jnp.asarray(pairs)
    real = np.asarray(batch.targets) > 0
    got = compiled(model).logits(params, batch._replace(feeds=pairs))
    np.testing.assert_allclose(got[real], want[real], atol=5e-6)
    cache, step = start(tiny())
    got, _ = step(cache, pairs[:, :6], jnp.zeros((3,), jnp.int32))
    np.testing.assert_allclose(got[real[:, :6]], want[:, :6][real[:, :6]], atol=5e-6)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_parameters_for_decoding_are_the_same_model(make, tiny, batch, version, jit):
    model, variables = make(tiny(version))

    @jit
    def decode(params, feeds):
        variables = {"params": params}
        encoded = model.apply(variables, batch.source, enable_dropout=False, method="encode")
        _, state = model.apply(
            variables, encoded, batch.source, 22, method="init_cache", mutable=["cache"]
        )
        return model.apply(
            {**variables, **state},
            feeds,
            jnp.zeros((3,), jnp.int32),
            method="decode_step",
            mutable=["cache"],
        )[0]

    for k in (3, 22):  # fewer tokens than FEW, and more
        want = decode(variables["params"], batch.feeds[:, :k])
        got = decode(for_decoding(variables["params"]), batch.feeds[:, :k])
        np.testing.assert_allclose(got, want, atol=1e-5)
    with pytest.raises(ValueError, match="use unscan_params"):
        for_decoding(scan_params(variables["params"]))


def test_tokens_beyond_the_cache_do_not_harm_it(tiny, batch, start):
    cache, step = start(tiny())
    positions = jnp.zeros((3,), jnp.int32)
    want, cache = step(cache, batch.feeds, positions)
    # Five tokens from slot 20 on: two are kept, three fall off the end.
    _, cache = step(cache, jnp.pad(batch.feeds[:, 20:], ((0, 0), (0, 3))), positions + 20)
    got, _ = step(cache, batch.feeds[:, 21:], positions + 21)
    np.testing.assert_allclose(got[:, 0], want[:, 21], atol=5e-6)


def test_t5x_steps_reuse_a_cache_of_init_cache(make, tiny, batch, start, compiled, jit):
    """With `cache_index` added, `decode=True` no longer looks at `encoded`."""
    model, variables = make(tiny())
    want = compiled(model).logits(variables["params"], batch)
    cache, _ = start(tiny())
    cache = {**cache, "cache_index": jnp.zeros((), jnp.int32)}
    nothing = jnp.full((3, 24, 16), jnp.nan)
    step = functools.partial(
        model.apply, enable_dropout=False, decode=True, mutable=["cache"], method="decode"
    )
    tokens = batch.feeds[:, :3]
    logits, state = jit(step)(
        {"params": variables["params"], "cache": cache}, nothing, batch.source, tokens, tokens
    )
    np.testing.assert_allclose(logits, want[:, :3], atol=5e-6)
    assert state["cache"]["cache_index"] == 3


def test_misuse_is_refused(make, tiny, batch, start):
    model, variables = make(tiny())
    params = {"params": variables["params"]}
    token, position = batch.feeds[:, :1], jnp.zeros((3,), jnp.int32)
    step = functools.partial(model.apply, params, mutable=["cache"], method="decode_step")
    with pytest.raises(ValueError, match="call init_cache first"):
        jax.eval_shape(step, token, position)
    _, step = start(tiny())
    with pytest.raises(ValueError, match="the 3 rows of the cache"):
        step(start(tiny())[0], token[:2], position[:2])
    call = functools.partial(model.apply, params, enable_dropout=False, mutable=["cache"])
    with pytest.raises(ValueError, match="one document per row"):
        jax.eval_shape(functools.partial(call, decode=True), *batch, batch.source)
    with pytest.raises(ValueError, match="expected dtype"):
        tiny(dtype="float16")
    with pytest.raises(ValueError, match="expected attention_block"):
        tiny(attention_block=0)
    with pytest.raises(ValueError, match="of one side"):
        jax.eval_shape(call, *batch, batch.source)
    with pytest.raises(ValueError, match="expected mlp_activations"):
        tiny(mlp_activations=("swish",))
    assert hash(tiny(mlp_activations=["relu"])) == hash(tiny(mlp_activations=("relu",)))


def test_a_token_outside_the_table_is_not_guessed(make, tiny):
    model, variables = make(tiny())
    out = model.apply({"params": variables["params"]}, jnp.array([[1, 40]]), method="embed")
    assert np.isfinite(out[0, 0]).all()
    assert np.isnan(out[0, 1]).all()


def test_sharded_over_data_and_model_gives_the_same_loss(make, tiny, batch, compiled):
    config = tiny(scan_layers=True, remat=True)
    model, variables = make(config)
    params = variables["params"]
    want, want_gradients = compiled(model).loss_and_gradients(params, batch)
    rules = (
        ("batch", "data"), ("heads", "model"), ("joined_kv", "model"), ("mlp", "model"),
        ("vocab", "model"), ("embed", None), ("length", None), ("kv", None), ("layers", None),
        ("relpos_buckets", None),
    )  # fmt: skip
    auto = (jax.sharding.AxisType.Auto,) * 2
    mesh = jax.make_mesh((1, 2), ("data", "model"), auto, devices=jax.devices()[:2])
    specs = {
        path.removesuffix("_axes"): partitioning.logical_to_mesh_axes(axes.names, rules)
        for path, axes in flatten_dict(variables["params_axes"], sep="/").items()
    }
    placed = jax.tree_util.tree_map_with_path(
        lambda path, leaf: jax.device_put(
            leaf, jax.NamedSharding(mesh, specs["/".join(key.key for key in path)])
        ),
        params,
    )
    kernel = placed["decoder"]["layers"]["mlp"]["wi_0"]["kernel"]
    assert kernel.sharding.shard_shape(kernel.shape) == (16, 2, 12)
    with jax.set_mesh(mesh), partitioning.axis_rules(rules):
        sharded = compiled(model.clone(name="sharded"))
        loss, gradients = sharded.loss_and_gradients(placed, batch)
    np.testing.assert_allclose(loss, want, rtol=1e-5)
    assert_trees_close(gradients, want_gradients, 1e-5)
