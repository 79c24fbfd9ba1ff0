"""The arguments of commands that run a model, and the model they name."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from t5coref.cli.mentions import add_mentions_arguments, mention_source
from t5coref.core.errors import ConfigError
from t5coref.released import NAME, named

if TYPE_CHECKING:
    from t5coref.decode.search import Search
    from t5coref.joint_ie import JointPredictor
    from t5coref.model import Model
    from t5coref.predict import Extractor

CONSTRAINTS = ("strict", "reference")


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `--model`, what can be changed about it, and how its outputs are looked for."""
    group = parser.add_argument_group("model")
    add = group.add_argument
    add("--model", default=NAME, type=_folder, metavar="DIR",
        help="a folder of `t5coref train`, a published checkpoint (docs/checkpoints.md), or the "
        f"name of one on the Hugging Face hub (default: {NAME}, the model that comes with "
        "t5coref)")  # fmt: skip
    add("--linearization", metavar="NAME",
        help="the format that the model writes, where nothing in it says so; see `t5coref "
        "linearize --list`")  # fmt: skip
    add("--relation-model", metavar="DIR",
        help="a second model, which finds relations between the clusters of the first: the "
        "pipeline of docs/joint_ie.md")  # fmt: skip
    add("--given-entities", action="store_true",
        help="keep the clusters of the documents and find their relations only; gold ones when "
        "evaluating")  # fmt: skip
    add_mentions_arguments(add)
    add("--question-model", metavar="DIR",
        help="with a model of iterative-ids or iterative-handles: a model of the format qa, whose "
        "answers speak to its choices (docs/questions.md)")  # fmt: skip
    add("--question-weight", type=float, metavar="X",
        help="with --question-model: how much its evidence counts (default: 1)")  # fmt: skip
    add("--window", type=int, metavar="N",
        help="pieces of a window (default: the model's own); for a model with heads, which reads "
        "documents whole, those of the longest document (default: 4096)")  # fmt: skip
    add("--stride", type=int, metavar="N",
        help="most pieces from one window to the next (default: half)")  # fmt: skip
    add("--carry", action="store_true",
        help="decode the windows of a document one after the other; each begins with the clusters "
        "found in its overlap with the ones before, so that they keep their numbers")  # fmt: skip
    singletons = group.add_mutually_exclusive_group()
    singletons.add_argument("--drop-singletons", action="store_true",
                            help="leave out clusters of one mention")  # fmt: skip
    singletons.add_argument("--keep-singletons", action="store_true",
                            help="keep them where the model leaves them out")  # fmt: skip
    add("--dtype", choices=("float32", "bfloat16"),
        help="computation type (default: as trained; float32 on CPUs)")  # fmt: skip

    add = parser.add_argument_group("decoding").add_argument
    add("--beams", type=int, default=1, metavar="N",
        help="hypotheses to keep at each step (default: 1, greedy; published results have 4). "
        "Time and memory grow with them")  # fmt: skip
    add("--length-penalty", type=float, metavar="X",
        help="with --beams: a hypothesis counts as its log-probability divided by its length to "
        "this power (default: 1)")  # fmt: skip
    add("--constraint", choices=CONSTRAINTS,
        help="which outputs are legal: strict (all end and can be read back) or reference (as "
        "published, looser; outputs may break off) (default: the model's own)")  # fmt: skip
    add("--free", action="store_true",
        help="generate without the constraint, greedily: what comes out may be no document; "
        "`t5coref evaluate` counts what is wrong with it (docs/ledger.md)")  # fmt: skip
    add("--batch-size", type=int, default=8, metavar="N",
        help="windows decoded at once (default: 8)")  # fmt: skip
    add("--model-parallel", type=int, default=1, metavar="N",
        help="devices that share one copy of the weights, for networks too large for one (default: "
        "1; must divide the devices of this machine)")  # fmt: skip
    add("--target-ratio", type=float, default=3.0, metavar="X",
        help="steps of an output for each source piece (default: 3)")  # fmt: skip


def _folder(model: str) -> str:
    return os.fspath(named(model))


def load_model(args: argparse.Namespace) -> Model:
    """The model that the arguments name, with the windows and rules that they ask for."""
    from t5coref import extractors
    from t5coref.cli.compile_cache import keep_compiled_programs

    keep_compiled_programs()
    options: dict[str, Any] = {}
    if args.window:
        options |= {"window": args.window, "stride": args.stride}
    elif args.stride:
        options["stride"] = args.stride
    if args.drop_singletons or args.keep_singletons:
        options["min_mentions"] = 2 if args.drop_singletons else 1
    if args.carry:
        options["carry"] = True
    if args.constraint:
        options["constraint"] = args.constraint
    return extractors.load_model(
        args.model, dtype=args.dtype, linearization=args.linearization, options=options
    )


def search_of(args: argparse.Namespace) -> Search:
    """How the arguments want outputs to be looked for.

    Raises:
      ConfigError: they contradict each other or are out of range.
    """
    from t5coref.decode.search import Beam, Free, Greedy

    if args.beams < 1:
        raise ConfigError(f"--beams is {args.beams}; expected at least 1")
    penalty = args.length_penalty
    if args.free:
        if args.beams > 1 or penalty is not None:
            raise ConfigError(
                "--free generates greedily; leave out --beams and --length-penalty, or --free"
            )
        return Free()
    if args.beams == 1:
        if penalty is not None:
            raise ConfigError(
                "--length-penalty is given for greedy search, which compares no lengths; "
                "add --beams 2 or more, or leave it out"
            )
        return Greedy()
    if penalty is not None and not (math.isfinite(penalty) and penalty >= 0):
        raise ConfigError(f"--length-penalty is {penalty}; expected a number from 0 on")
    return Beam(args.beams) if penalty is None else Beam(args.beams, penalty)


_OF_SEQUENCES = (
    "stride", "carry", "drop_singletons", "keep_singletons", "beams", "length_penalty",
    "constraint", "free", "model_parallel", "target_ratio", "question_model",
)  # fmt: skip
"""Arguments that mean nothing to a model that writes no sequences."""

_OF_SEARCHES = (
    "beams", "length_penalty", "constraint", "free", "model_parallel", "target_ratio",
)  # fmt: skip
"""Arguments that mean nothing where nothing is searched for, and one device holds the weights."""


def load_predictor(args: argparse.Namespace) -> Extractor:
    """A predictor for the model or models that the arguments name.

    Raises:
      ConfigError: an argument is out of range, or does not suit the kind of model.
    """
    if args.batch_size < 1:
        raise ConfigError(f"--batch-size is {args.batch_size}; expected at least 1")
    if args.question_weight is not None and args.question_model is None:
        raise ConfigError("--question-weight is for --question-model DIR; expected it with that")
    from t5coref.extractors import told

    mentions = mention_source(args)
    if args.relation_model is None:
        return told(mentions, _one_predictor(args), args.model)
    from t5coref.joint_ie import PipelinePredictor

    if args.given_entities:
        raise ConfigError(
            "--given-entities with --relation-model: the clusters are either given or found; for "
            "given ones name the relation model with --model"
        )
    relations = _joint_predictor(args, args.relation_model, given_entities=True)
    return PipelinePredictor(told(mentions, _one_predictor(args), args.model), relations)


def _one_predictor(args: argparse.Namespace) -> Extractor:
    from t5coref.extractors import reads_with_heads
    from t5coref.predictors import asks_questions, predictor_of

    if reads_with_heads(args.model, args.linearization):
        _refuse(args, _OF_SEQUENCES, "is a model with heads, which writes no sequences")
        return _joint_predictor(args, args.model, given_entities=args.given_entities or None)
    if args.given_entities:
        raise ConfigError(
            f"--given-entities: {args.model} writes clusters and cannot be given them; expected a "
            "model with relation heads, see docs/joint_ie.md"
        )
    search = search_of(args)
    model = load_model(args)
    if asks_questions(model):
        without = ("carry", "question_model", *_OF_SEARCHES)
        _refuse(args, without, f"is of the format {model.format.name}, which needs no search")
    if args.question_model is not None:
        return _integrated_predictor(args, model)
    return predictor_of(
        model,
        batch_size=args.batch_size,
        target_ratio=args.target_ratio,
        search=search,
        model_parallel=args.model_parallel,
    )


def _integrated_predictor(args: argparse.Namespace, model: Model) -> Extractor:
    from t5coref.model import Model
    from t5coref.questions import IntegratedPredictor, QuestionPredictor

    _refuse(args, _OF_SEARCHES, "with --question-model is decoded greedily")
    asking = Model.load(args.question_model, dtype=model.config.dtype)
    weight = 1.0 if args.question_weight is None else args.question_weight
    return IntegratedPredictor(
        model,
        QuestionPredictor(asking, batch_size=args.batch_size),
        weight=weight,
        batch_size=args.batch_size,
    )


def _refuse(args: argparse.Namespace, names: Sequence[str], why: str) -> None:
    """Refuses arguments that mean nothing to the model.

    Raises:
      ConfigError: one is given.
    """
    unset = argparse.ArgumentParser()
    add_model_arguments(unset)
    usual = vars(unset.parse_args(["--model", ""]))
    if changed := [name for name in names if getattr(args, name) != usual[name]]:
        option = "--" + changed[0].replace("_", "-")
        raise ConfigError(f"{args.model} {why}; leave out {option}")


def _joint_predictor(
    args: argparse.Namespace, folder: str, *, given_entities: bool | None
) -> JointPredictor:
    from t5coref import extractors
    from t5coref.cli.compile_cache import keep_compiled_programs

    keep_compiled_programs()
    return extractors.load_joint_predictor(
        folder,
        dtype=args.dtype,
        longest=args.window,
        batch_size=args.batch_size,
        given_entities=given_entities,
    )
