"""`t5coref plan`: what a TPU slice can train, without owning one."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from t5coref import linearize
from t5coref.core.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from t5coref.plan import Report, Slice, Work

HELP = "find out what a TPU slice can train or decode, without owning one"

DESCRIPTION = """\
Compiles the real training step (or, with --decode, the real decoder) with the TPU compiler for a
slice that need not be there, and prints how much memory a chip would need, how many operations a
step has, and how long it must take at least.

A slice of N chips is a mesh of `data` times `model` chips: `model` chips share each document and
each matrix, and there are `data` such groups with documents of their own. Parameters and the
optimizer's state are divided over all chips. --model-parallel chooses the mesh; its sizes are the
products of the slice's axes (v5e:4x8 has 1, 4, 8 and 32).

--sweep looks for what fits: of all slices of a chip (--topology v5e) the smallest, and of all
meshes of a slice (--topology v5e:8x8) the one with the lowest bound on the time of a step.

Memory is what the compiler says. Times are none that were measured: they are what operations, bytes
of memory and bytes over links would take at the chip's published peaks, each as if it were alone;
a real step is slower. Needs the TPU compiler, not a TPU: pip install "t5coref[tpu]".
"""

EPILOG = """\
examples:
  t5coref plan --model xxl --topology v5e:4x8 --batch 128 --source 2048 --target 4096
  t5coref plan --model xl --topology v5e --batch 128 --source 2048 --target 4096 --sweep
  t5coref plan --model xl --topology v4:2x2x4 --batch 64 --source 2048 --target 4096 \\
      --model-parallel 4 --accumulate 4 --json
  t5coref plan --model xl --topology v5e:2x4 --batch 8 --source 2048 --target 4096 --decode

Compiling takes minutes. In training, layers are one loop; a decoder is compiled layer by layer.
docs/tpu.md has results.
"""

SIZES = ("small", "base", "large", "xl", "xxl")
GIB = 2**30


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    add = parser.add_argument
    add("--model", required=True, choices=SIZES,
        help="size of a T5 1.1, T0 or Flan-T5: xl has 3 billion parameters, xxl 11")  # fmt: skip
    add("--topology", required=True, metavar="CHIP[:AxB[xC]]",
        help="the slice, as v5e:4x8 or v4:2x2x4; with --sweep also the chip alone: v4, v5e, v5p, "
        "v6e")  # fmt: skip
    add("--batch", type=int, required=True, metavar="N", help="documents of a step")
    add("--source", type=int, required=True, metavar="N", help="pieces of an input")
    add("--target", type=int, required=True, metavar="N", help="steps of an output")
    add("--format", default="full-copy", metavar="NAME",
        help="the linearization, see `t5coref linearize --list`; full-token scores the whole "
        "vocabulary (default: full-copy)")  # fmt: skip
    add("--model-parallel", type=int, metavar="N",
        help="chips that share a document (default: of all meshes that the batch can be divided "
        "over, the one with the lowest bound)")  # fmt: skip
    add("--accumulate", type=int, metavar="N",
        help="parts of the batch that are computed one after the other; more parts, less memory "
        "(default: as many as leave one document for each group of chips)")  # fmt: skip
    add("--decode", action="store_true", help="plan the decoding of a batch instead of training")
    add("--sweep", action="store_true", help="look for the smallest slice or the best mesh")
    add("--json", action="store_true", help="print all numbers as JSON, in bytes and seconds")


def run(args: argparse.Namespace) -> int:
    """Plans and prints; status 1 if it does not fit."""
    import jax
    from rich.console import Console

    from t5coref.plan import Slice, Work, plan, smallest

    # Nothing is computed here; a TPU or GPU that is there stays free.
    jax.config.update("jax_platforms", "cpu")
    linearize.named(args.format)
    work = Work.of_size(
        args.model,
        batch=args.batch,
        source=args.source,
        target=args.target,
        format=args.format,
        decode=args.decode,
        accumulate=args.accumulate,
    )
    console = Console(file=sys.stderr, highlight=False)

    def heard(report: Report) -> None:
        console.print(_line(report))

    if args.sweep:
        if args.model_parallel is not None:
            raise ConfigError("--sweep tries all meshes; leave out --model-parallel, or --sweep")
        report = smallest(_slices(args.topology), work, heard)
    else:
        slice_ = Slice.parse(args.topology)
        model = args.model_parallel or _best_mesh(slice_, work)
        console.print(
            f"compiling for {slice_}, {slice_.chips // model} x {model}; this takes minutes"
        )
        report = plan(slice_, model, work)
    if args.json:
        print(json.dumps(report.as_json(), indent=2))
    else:
        _show(report, Console(highlight=False))
    return 0 if report.fits else 1


def _slices(text: str) -> list[Slice]:
    from t5coref.plan import Slice
    from t5coref.plan.chips import chip_of

    if ":" in text:
        return [Slice.parse(text)]
    chip = chip_of(text)
    return [Slice(chip, shape) for shape in chip.slices]


def _best_mesh(slice_: Slice, work: Work) -> int:
    """The mesh whose bound is the lowest of those that can hold the parameters."""
    from t5coref.plan import estimates

    fitting = estimates(slice_, work)
    if not fitting:
        raise ConfigError(
            f"no mesh of {slice_} can hold the parameters and divide {work.batch} documents; "
            "expected a larger slice or another --batch, or look for one with --sweep"
        )
    return fitting[0].model


def _line(report: Report) -> str:
    where = f"{report.slice}, {report.data} x {report.model}:"
    if report.compiled is not None:
        return f"{where} fits, {report.compiled.memory.total / GIB:.2f} GiB a chip"
    return f"{where} does not fit, the compiler wants {(report.needed or 0) / GIB:.2f} GiB a chip"


def _show(report: Report, console: Console) -> None:
    from rich.table import Table

    chip, work = report.slice.chip, report.work
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))

    def row(name: str, value: str) -> None:
        table.add_row(name, value)

    row("slice", f"{report.slice}, {report.slice.chips} chips")
    row("mesh", f"data {report.data} x model {report.model}")
    doing = "decode" if work.decode else "train"
    parts = work.parts(report.data)
    row(
        "work",
        f"{doing} {work.batch} documents of {work.source} -> {work.target}"
        + (f", {parts} parts" if parts > 1 else "")
        + f", {work.format} ({work.actions} logits)",
    )
    row("parameters", f"{report.parameters / 1e9:.2f} billion")
    limit = f"{chip.usable / GIB:.2f} GiB"
    if report.compiled is not None:
        memory = report.compiled.memory
        row("memory per chip", f"{memory.total / GIB:.2f} of {limit}: it fits")
        row("  parameters, moments, batch", f"{memory.arguments / GIB:.2f} GiB")
        row("  the rest at its peak", f"{(memory.peak - memory.arguments) / GIB:.2f} GiB")
        row("  program", f"{memory.code / GIB:.2f} GiB")
        row("compiled in", f"{report.compiled.seconds:.0f} s")
    elif report.needed is not None:
        row("memory per chip", f"{report.needed / GIB:.2f} of {limit}: it does not fit")
    row(
        "operations",
        f"{report.cost.model_flops:.3g}, with recomputation {report.cost.flops:.3g}",
    )
    row("at least", f"{report.seconds:.3g} s, the largest of")
    for name, seconds in report.bounds.items():
        row(f"  {name}", f"{seconds:.3g} s")
    console.print(table)
