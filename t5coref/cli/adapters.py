"""`t5coref adapters`: LoRA adapters merged, and to and from PEFT and T5X."""

from __future__ import annotations

import argparse
import importlib
import pathlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from t5coref.adapters import Adapters

HELP = "merge LoRA adapters into their T5, or convert them from and to PEFT"

DESCRIPTION = """\
Writes the adapters in SRC, and the T5 that they were trained beside, anew as DST:

  model     the T5 with the adapters merged into its matrices, for every --model of t5coref
  adapters  the adapters alone, as training writes them to RUN/best/adapters
  peft      adapter_config.json and adapter_model.safetensors, for the PEFT library

SRC is a folder of adapters of ours or of PEFT, or a T5X checkpoint that has them; or a model whose
weights were all trained: then the adapters come as near to it as --rank allows. A merged model
computes what the T5 with adapters computes. Adapters know the fingerprint of their T5, and no other
is taken. RUN/best itself is merged already.
"""

EPILOG = """\
examples:
  t5coref adapters runs/lora/best/adapters models/merged --to model --base flan-t5-xl
  t5coref adapters runs/lora/best/adapters peft --to peft --base flan-t5-xl
  t5coref convert flan-t5-xl start --to t5coref --format full-copy
  t5coref adapters peft mine --to adapters --base start
                                     adapters that PEFT has trained
  t5coref adapters runs/xl/checkpoint_20000 models/xl --to model --base flan-xl --alpha 64
                                     what T5X has trained from flan-xl/checkpoint_0
  t5coref adapters runs/mentions/last models/mine/proposer --to adapters --base models/mine \\
      --rank 32 --eight-bits         what training changed in all weights, as adapters

For adapters of ours, BASE may be the published T5: their folder says which tokenizer, symbols and
format it was trained with. For others it is a model folder that says so itself. PEFT has no place
for the rows of new symbols: where there are any, DST/base is the T5 that has them.
"""

TARGETS = ("model", "adapters", "peft")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of the command."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    add = parser.add_argument
    add("source", metavar="SRC", help="a folder with adapters")
    add("destination", metavar="DST", help="the folder to make")
    add("--to", required=True, choices=TARGETS, help="what DST is to be")
    add("--base", required=True, metavar="DIR",
        help="the T5 that the adapters were trained beside: a folder, or a name on the "
        "hub")  # fmt: skip
    add("--alpha", type=float, metavar="X",
        help="of a T5X checkpoint, which does not say it: LoRA.alpha of the run")  # fmt: skip
    add("--rank", type=int, metavar="N",
        help="where SRC is a model: of the adapters (default: 16)")  # fmt: skip
    add("--eight-bits", action="store_true",
        help="with --to adapters: matrices in eight bits, a quarter as large")  # fmt: skip
    add("--overwrite", action="store_true", help="replace DST")
    add("--quiet", action="store_true", help="no summary")


def run(args: argparse.Namespace) -> int:
    """Reads, checks and writes; returns the exit status."""
    from t5coref.adapters import save_peft
    from t5coref.core.errors import ConfigError
    from t5coref.model import CARD_FILE

    target = pathlib.Path(args.destination)
    if target.exists() and any(target.iterdir()) and not args.overwrite:
        raise ConfigError(f"{target} exists and is not empty; give another folder, or --overwrite")
    if args.eight_bits and args.to != "adapters":
        raise ConfigError(f"--eight-bits is for --to adapters; leave it out for --to {args.to}")
    if (pathlib.Path(args.source) / CARD_FILE).is_file():
        return _extract(args, target)
    if args.rank is not None:
        raise ConfigError(
            f"--rank is for a model as SRC; {args.source} has no {CARD_FILE}, and adapters have a "
            "rank already"
        )
    adapters, base = _read(args.source, args.base, args.alpha)
    if args.to == "model":
        adapters.merge(base).save(target)
    elif args.to == "adapters":
        adapters.check(base)
        adapters.save(target, eight_bits=args.eight_bits)
    else:
        save_peft(target, adapters, base, base=args.base)
    if not args.quiet:
        print("\n".join(report(args.source, args.to, target, adapters)))
    return 0


def _extract(args: argparse.Namespace, target: pathlib.Path) -> int:
    """Writes what training changed in all weights of a model as adapters."""
    from t5coref.adapters import extracted
    from t5coref.core.errors import ConfigError
    from t5coref.nn.lora import LoRA

    if args.to != "adapters":
        raise ConfigError(
            f"{args.source} is a model, of which adapters are made; expected --to adapters, got "
            f"--to {args.to}"
        )
    rank = 16 if args.rank is None else args.rank
    if rank < 1:
        raise ConfigError(f"--rank is {rank}; expected at least 1")
    adapters, kept = extracted(_model(args.base), _model(args.source), LoRA(rank, float(rank)))
    adapters.save(target, eight_bits=args.eight_bits)
    if not args.quiet:
        print("\n".join(report(args.source, args.to, target, adapters)))
        print(f"they hold {kept:.1%} of what changed in the matrices (sums of squares)")
    return 0


def _read(source: str, base: str, alpha: float | None) -> tuple[Adapters, Any]:
    """The adapters, and the model beside which they were trained."""
    from t5coref.adapters import Adapters, from_peft, from_t5x
    from t5coref.adapters import folder as ours
    from t5coref.adapters import peft as theirs
    from t5coref.core.errors import ConfigError
    from t5coref.model import Model

    place = pathlib.Path(source)
    if (place / ours.SETTINGS).is_file():
        adapters = Adapters.load(place)
        return adapters, _base_of(adapters, place, base)
    if (place / theirs.SETTINGS).is_file():
        model = Model.load(base)
        return from_peft(place, model), model
    if alpha is None:
        raise ConfigError(
            f"{source}: expected {ours.SETTINGS} or {theirs.SETTINGS} in it; if it is a T5X "
            "checkpoint with adapters, give --alpha"
        )
    model = Model.load(base)
    return from_t5x(place, model, alpha), model


def _base_of(adapters: Adapters, place: pathlib.Path, base: str) -> Any:
    """A model folder of any kind, or a published T5 with the symbols of the adapters."""
    from t5coref.model import CARD_FILE, Format, pretrained

    if (pathlib.Path(base) / CARD_FILE).is_file():
        return _model(base)
    described = adapters.card["format"]
    return pretrained(
        base,
        tokenizer=str(place),
        word_rule=adapters.tokenizer.word_rule,
        format=described and Format(described["name"], described["options"]),
        dtype=adapters.card["dtype"],
    )


def _model(folder: str) -> Any:
    """The model of a folder, of any kind."""
    from t5coref.model import CARD_FILE, LOADERS, Model, read_card

    place = pathlib.Path(folder)
    card = read_card(place) if (place / CARD_FILE).is_file() else {}
    loader = next((LOADERS[key] for key in LOADERS if key in card), None)
    if loader is None:
        return Model.load(folder)
    module, owner, load = loader.rsplit(".", 2)
    return getattr(getattr(importlib.import_module(module), owner), load)(folder)


def report(source: str, to: str, target: pathlib.Path, adapters: Adapters) -> list[str]:
    """What was done, line by line."""
    import jax

    lora = adapters.lora
    numbers = sum(leaf.size for leaf in jax.tree.leaves(adapters.weights))
    return [
        f"{source} -> {target} ({to})",
        f"rank {lora.rank}, alpha {lora.alpha:g}, {numbers:,} parameters, "
        f"rows of {adapters.rows.count} symbols; base: fingerprint {adapters.base}",
    ]
