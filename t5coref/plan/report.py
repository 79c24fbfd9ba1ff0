"""Plans: what the compiler and arithmetic say of a piece of work on a slice."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from t5coref.core.errors import ConfigError
from t5coref.plan.chips import Slice
from t5coref.plan.cost import Cost, decoding_cost, floor_bytes, training_cost
from t5coref.plan.program import Compiled, TooLargeError, compile_for, parameter_count
from t5coref.plan.work import Work


@dataclass(frozen=True)
class Report:
    """A piece of work on a mesh of a slice.

    Attributes:
        slice: where.
        data: chips along the mesh axis `data`: groups that have documents of their own.
        model: chips along the axis `model`: a group that shares each document.
        work: what.
        parameters: of the network.
        cost: what it needs at least.
        compiled: what the compiler made of it; None if it does not fit.
        needed: bytes that a chip would need where it does not fit.
    """

    slice: Slice
    data: int
    model: int
    work: Work
    parameters: int
    cost: Cost
    compiled: Compiled | None
    needed: float | None = None

    @property
    def fits(self) -> bool:
        """Whether the compiler took it."""
        return self.compiled is not None

    @property
    def bounds(self) -> dict[str, float]:
        """Seconds below which it cannot be, by what would be the only thing that takes time."""
        return self.cost.bounds(self.slice, self.model)

    @property
    def seconds(self) -> float:
        """The largest of the bounds."""
        return max(self.bounds.values())

    def as_json(self) -> dict[str, Any]:
        """All numbers, in bytes, seconds and operations."""
        chip = self.slice.chip
        memory = None
        if self.compiled is not None:
            memory = dataclasses.asdict(self.compiled.memory)
            memory["total"] = self.compiled.memory.total
        return {
            "topology": str(self.slice),
            "chips": self.slice.chips,
            "mesh": {"data": self.data, "model": self.model},
            "work": "decode" if self.work.decode else "train",
            "format": self.work.format,
            "batch": self.work.batch,
            "accumulate": self.work.parts(self.data),
            "source": self.work.source,
            "target": self.work.target,
            "parameters": self.parameters,
            "fits": self.fits,
            "hbm": chip.hbm,
            "usable_hbm": chip.usable,
            "memory_per_chip": memory,
            "refused_at": self.needed,
            "compile_seconds": None if self.compiled is None else self.compiled.seconds,
            "model_flops": self.cost.model_flops,
            "flops": self.cost.flops,
            "bytes_per_chip": self.cost.bytes,
            "bound_seconds": self.bounds,
            "peak": {"flops": chip.flops, "bandwidth": chip.bandwidth, "link": chip.link},
        }


def plan(slice_: Slice, model: int, work: Work) -> Report:
    """Compiles the work for a mesh of the slice with `model` chips for each document.

    Raises:
        ConfigError: the slice has no such mesh, the batch cannot be divided, or libtpu is missing.
    """
    report = _without_compiler(slice_, model, work)
    devices = slice_.topology()
    from jax.experimental import topologies

    mesh = topologies.make_mesh(devices, (report.data, report.model), ("data", "model"))
    try:
        return dataclasses.replace(report, compiled=compile_for(work, mesh))
    except TooLargeError as error:
        return dataclasses.replace(report, needed=error.used)


def smallest(
    slices: list[Slice], work: Work, heard: Callable[[Report], None] = lambda report: None
) -> Report:
    """The first slice with a mesh that fits, and of its meshes the one with the lowest bound.

    Meshes that cannot hold the parameters and their gradients are not compiled.

    Args:
        slices: smallest first.
        work: what.
        heard: is told of each mesh that was compiled.

    Raises:
        ConfigError: nothing fits.
    """
    for slice_ in slices:
        for report in estimates(slice_, work):
            report = plan(slice_, report.model, work)
            heard(report)
            if report.fits:
                return report
    raise ConfigError(
        f"nothing fits: no mesh of {', '.join(map(str, slices))} holds this work and divides "
        f"{work.batch} documents; expected shorter --source and --target, a larger slice, another "
        "chip or another --batch"
    )


def estimates(slice_: Slice, work: Work) -> list[Report]:
    """The meshes that can divide the batch and hold the parameters, the best first.

    That is the one with the lowest bound; of equals, the one with the lowest bounds in all.
    """
    found = []
    for model in slice_.model_sizes():
        data = slice_.chips // model
        if work.batch % (data * (work.accumulate or 1)) == 0:
            report = _without_compiler(slice_, model, work)
            if floor_bytes(work, report.parameters, data, model) < slice_.chip.usable:
                found.append(report)
    return sorted(found, key=lambda report: (report.seconds, sum(report.bounds.values())))


def _without_compiler(slice_: Slice, model: int, work: Work) -> Report:
    data, model = slice_.mesh(model)
    work.parts(data)
    parameters = parameter_count(work)
    count = decoding_cost if work.decode else training_cost
    cost = count(work, parameters, data, model)
    return Report(slice_, data, model, work, parameters, cost, None)
