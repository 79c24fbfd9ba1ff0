"""The programs that are planned with: the training step and the decoder, lowered for a mesh."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import time
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from t5coref.core.errors import T5CorefError
from t5coref.decode import draft
from t5coref.decode.constraint import Tables
from t5coref.decode.search import Rows
from t5coref.nn.partition import DECODING_RULES, AbstractParameters, Layout
from t5coref.nn.t5 import T5, T5Config, for_decoding
from t5coref.plan.work import Work
from t5coref.predict import GREEDY, decode_batch
from t5coref.train.optimizers import adafactor
from t5coref.train.step import make_train_step, state_shardings

STEPS = 1000
"""Of the optimizer's schedule; no size depends on it."""

_SIZE = r"([\d.]+)([KMGT]?)"
_REFUSED = re.compile(
    rf"Used {_SIZE} of {_SIZE} hbm|temporaries \({_SIZE}\) exceeds available HBM \({_SIZE}\)"
)
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class TooLargeError(T5CorefError):
    """The compiler refuses a program that does not fit into memory.

    Attributes:
        used: bytes of a chip that it wants.
        usable: bytes that it may have.
    """

    def __init__(self, message: str, used: float, usable: float):
        super().__init__(message)
        self.used, self.usable = used, usable


@dataclass(frozen=True)
class Memory:
    """Bytes of one chip.

    Attributes:
        peak: arguments, results and what else is alive at the worst moment; on CPUs, which
            leave the rest out, arguments and results.
        arguments: parameters, moments and the batch; a training step writes its result over them.
        temporaries: room for everything else; on TPUs more than is ever in use at once.
        code: the program.
    """

    peak: int
    arguments: int
    temporaries: int
    code: int

    @property
    def total(self) -> int:
        """What a chip needs, by the peak; whether it fits is for the compiler to say."""
        return self.peak + self.code


@dataclass(frozen=True)
class Compiled:
    """What the compiler says of a program."""

    memory: Memory
    seconds: float


def compile_for(work: Work, mesh: Mesh) -> Compiled:
    """Lowers and compiles the work for a mesh with the axes `data` and `model`.

    Raises:
        TooLargeError: it does not fit.
    """
    began = time.monotonic()
    lower = lower_decoding if work.decode else lower_training
    lowered = lower(work, mesh)
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        found = _REFUSED.search(str(error))
        if found is None:
            raise
        numbers = [part for part in found.groups() if part is not None]
        used, usable = (float(numbers[i]) * _UNITS[numbers[i + 1]] for i in (0, 2))
        raise TooLargeError(
            f"a chip would need {used / 2**30:.1f} GiB and has {usable / 2**30:.2f}", used, usable
        ) from error
    seconds = time.monotonic() - began
    size: Any = compiled.memory_analysis()
    # Arguments and temporaries together can be more than the memory of a chip that the compiler
    # has accepted the program for: 2.6 and 16.5 GiB for xxl on v5e:4x4.
    memory = Memory(
        peak=size.peak_memory_in_bytes,
        arguments=size.argument_size_in_bytes,
        temporaries=size.temp_size_in_bytes,
        code=size.generated_code_size_in_bytes,
    )
    return Compiled(memory, seconds)


def parameter_count(work: Work) -> int:
    """Parameters of the network."""
    return _count(dataclasses.replace(work.config, scan_layers=True))


@functools.lru_cache(maxsize=8)
def _count(config: T5Config) -> int:
    return AbstractParameters.of(T5(config)).count


def lower_training(work: Work, mesh: Mesh) -> Any:
    """A step with Adafactor."""
    layout = Layout(mesh)
    abstract = AbstractParameters.of(T5(work.config))
    optimizer = adafactor(STEPS, peak=1e-3, warmup=0, decay="constant")
    places = state_shardings(layout, work.config, optimizer)
    step = make_train_step(work.config, optimizer, work.symbols, layout=layout)
    moments = jax.eval_shape(optimizer.transform.init, abstract.shapes)
    none_yet: Any = jax.ShapeDtypeStruct((), jnp.int32)
    state = type(places)(none_yet, abstract.shapes, moments)
    parts = work.parts(mesh.shape["data"])
    rows = (parts, work.batch // parts)

    def tokens(length: int, dtype: Any = jnp.int32) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((*rows, length), dtype)

    features = {
        "encoder_input_tokens": tokens(work.source),
        "decoder_input_tokens": tokens(work.target),
        "decoder_target_tokens": tokens(work.target),
        "decoder_target_actions": tokens(work.target),
        "decoder_loss_weights": tokens(work.target, jnp.float32),
    }
    everywhere = layout.sharding((), ())
    jitted = jax.jit(
        step,
        in_shardings=(places, layout.batch(features), everywhere),
        out_shardings=(places, everywhere),
        donate_argnums=0,
    )
    key = jax.eval_shape(lambda: jax.random.key(0))
    return jitted.lower(state, features, key)


def lower_decoding(work: Work, mesh: Mesh) -> Any:
    """Greedy search over a batch under the format's rules; kernels are bfloat16."""
    layout = Layout(mesh, DECODING_RULES)
    network = T5(work.config)
    abstract = AbstractParameters.of(network)
    shapes = jax.eval_shape(for_decoding, abstract.shapes)
    axes = dict(abstract.axes)
    for path, names in abstract.axes.items():
        axes[(*path[:-1], "transposed")] = names[::-1]
    prepared = dataclasses.replace(abstract, shapes=shapes, axes=axes)
    places = layout.parameters(prepared)
    # Matrices are kept as they are multiplied; norms are computed in float32.
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, work.config.dtype if x.ndim > 1 else x.dtype),
        shapes,
    )
    by_row = layout.sharding(("batch",), (work.batch,))
    everywhere = layout.sharding((), ())

    def ints(*shape: int) -> Any:
        return jax.ShapeDtypeStruct(shape, jnp.int32)

    rows = Rows(*(ints(work.batch, *rest) for rest in ((work.source,), (), (1,))))
    tables, memory = (
        jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)
        for tree in (Tables.of(work.linearization.rules), jax.eval_shape(draft.empty))
    )
    # Not the jitted function, which would remember what it traced for another mesh.
    plain: Any = inspect.unwrap(decode_batch)
    search = functools.partial(plain, network, max_steps=work.target, search=GREEDY)

    def decode(params, tables, rows, memory):
        with layout.traced():
            return search(params=params, tables=tables, rows=rows, memory=memory)

    jitted = jax.jit(decode, in_shardings=(places, everywhere, by_row, everywhere))
    return jitted.lower(shapes, tables, rows, memory)
