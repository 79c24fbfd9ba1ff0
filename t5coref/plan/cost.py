"""What a step costs at least: operations, bytes of memory, bytes over links.

Counted from shapes, since the compiler's own analysis counts the body of a loop once. Letters: S
pieces, T steps, D model width, W all heads together, F hidden units, A logits.
"""

from __future__ import annotations

from dataclasses import dataclass

from t5coref.nn.losses import LOGITS
from t5coref.nn.stack import T5Config
from t5coref.plan.chips import Slice
from t5coref.plan.work import Work

WEIGHT, ACTIVATION = 4, 2  # bytes: parameters and gradients are float32, the rest is bfloat16


@dataclass(frozen=True)
class Cost:
    """What one step, or one decoded batch, needs.

    Attributes:
        model_flops: operations of the whole slice, none of them twice.
        flops: the same with what is computed again to save memory.
        bytes: that each chip moves from and to its memory.
        data_bytes: that each chip receives along the mesh axis `data`.
        model_bytes: that it receives along the axis `model`.
    """

    model_flops: float
    flops: float
    bytes: float
    data_bytes: float
    model_bytes: float

    def bounds(self, slice_: Slice, model: int) -> dict[str, float]:
        """Seconds that the chips, their memories and their links need at their published peaks."""
        chip = slice_.chip
        data_rate, model_rate = slice_.bandwidths(model)
        return {
            "compute": self.flops / (chip.flops * slice_.chips),
            "memory": self.bytes / chip.bandwidth,
            "links": max(
                self.data_bytes / data_rate if self.data_bytes else 0.0,
                self.model_bytes / model_rate if self.model_bytes else 0.0,
            ),
        }


@dataclass(frozen=True)
class Products:
    """Matrix products of a document, forward: those with parameters, and those of attention."""

    weights: float
    attention: float
    head: float


def products(config: T5Config, source: int, target: int, actions: int) -> Products:
    """Operations, a multiplication and an addition being two."""
    dim, heads = config.emb_dim, config.num_heads * config.head_dim
    mlp = (len(config.mlp_activations) + 1) * dim * config.mlp_dim
    square = dim * heads
    encoder = source * (4 * square + mlp)
    decoder = target * (6 * square + mlp) + source * 2 * square
    seen = {
        "encoder": 2 * source * source * heads,
        "decoder": 2 * target * (target + source) * heads,
    }
    enc, dec = config.num_encoder_layers, config.num_decoder_layers
    return Products(
        weights=2.0 * (enc * encoder + dec * decoder),
        attention=2.0 * (enc * seen["encoder"] + dec * seen["decoder"]),
        head=2.0 * target * dim * actions,
    )


def training_cost(work: Work, parameters: int, data: int, model: int) -> Cost:
    """Of a step on `data` times `model` chips, with layers recomputed for the gradient."""
    config, rows = work.config, work.batch
    chips, parts = data * model, work.parts(data)
    once = products(config, work.source, work.target, work.actions)
    # Forward once, backward twice; recomputed: layers once, and each block's logits once more.
    head_passes = 4 if work.target * work.actions > LOGITS else 3
    flops = 4.0 * once.weights + 4.5 * once.attention + head_passes * once.head
    # Gathered weights are written once and read once in the forward and in the backward pass, and
    # read again for the gradient of the activations; gradients are written and read.
    weights = parts * ACTIVATION * parameters / model * (2 + 3 + 2)
    optimizer = WEIGHT * parameters / chips * (3 + (2 * parts if parts > 1 else 0))
    activations = rows / data * _activation_bytes(work, model) * 4
    others = (model - 1) / model
    return Cost(
        model_flops=rows * 3.0 * (once.weights + once.attention + once.head),
        flops=rows * flops,
        bytes=weights + optimizer + activations,
        # Gathered forward and backward, and gradients summed up.
        data_bytes=3 * parts * ACTIVATION * parameters / model * (data - 1) / data,
        model_bytes=rows / data * _exchanged_bytes(work) * others,
    )


def decoding_cost(work: Work, parameters: int, data: int, model: int) -> Cost:
    """Of a batch that is encoded and decoded to its last step, one action at a time."""
    config, rows = work.config, work.batch
    once = products(config, work.source, work.target, work.actions)
    # A step reads half of the slots on average.
    heads = config.num_heads * config.head_dim
    cache = 2 * ACTIVATION * config.num_decoder_layers * heads * (work.source + work.target / 2)
    weights = ACTIVATION * parameters / model
    exchanged = 2 * 3 * config.num_decoder_layers * config.emb_dim * ACTIVATION
    flops = rows * (once.weights + once.attention + once.head)
    return Cost(
        model_flops=flops,
        flops=flops,
        bytes=work.target * (weights / 2 + rows / data * cache / model),
        data_bytes=0.0,
        model_bytes=rows / data * work.target * exchanged * (model - 1) / model,
    )


def floor_bytes(work: Work, parameters: int, data: int, model: int) -> float:
    """Bytes of a chip that no compiler can do without: parameters, and gradients to be added up."""
    if work.decode:
        return ACTIVATION * parameters / model
    kept = 3 if work.parts(data) > 1 else 2
    return kept * WEIGHT * parameters / (data * model)


def _activation_bytes(work: Work, model: int) -> float:
    """Inputs and outputs of all products of a document's forward pass, on one chip."""
    config = work.config
    dim, heads = config.emb_dim, config.num_heads * config.head_dim / model
    gates = len(config.mlp_activations)
    mlp = 2 * dim + (gates + 1) * config.mlp_dim / model
    attention = 2 * dim + 4 * heads
    encoder = work.source * (attention + mlp)
    decoder = work.target * (2 * attention - 2 * heads + mlp) + work.source * 2 * heads
    return ACTIVATION * (config.num_encoder_layers * encoder + config.num_decoder_layers * decoder)


def _exchanged_bytes(work: Work) -> float:
    """What the chips that share a document give each other in a step, for the whole document.

    Each block of a layer reads all positions and returns its part of them: forward, again when it
    is recomputed (but for the last block of a layer, whose output nobody reads), and backward.
    """
    config = work.config
    encoder = (2 * 6 - 1) * work.source
    # The encoder's output is read by each layer, twice, and its gradient returned.
    decoder = (3 * 6 - 1) * work.target + 3 * work.source
    return (
        ACTIVATION
        * config.emb_dim
        * (config.num_encoder_layers * encoder + config.num_decoder_layers * decoder)
    )
