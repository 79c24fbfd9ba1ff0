"""What all objectives on a T5 share: how it is computed, resumed and exported."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

import jax

from t5coref.nn.scan import scan_params, unscan_params
from t5coref.nn.t5 import T5Config
from t5coref.train.objective import Savable
from t5coref.train.run_folder import start_of

Evaluate = Callable[[Any], Mapping[str, float]]
"""Parameters (not scanned) -> scores, the one that decides among them."""


class T5Model(Savable, Protocol):
    """A dataclass with a T5: `Model`, or one that has heads as well."""

    @property
    def config(self) -> T5Config:
        """The T5's shape."""
        ...

    @property
    def params(self) -> Any:
        """Not scanned."""
        ...

    def card(self) -> dict[str, Any]:
        """What identifies the model's parts."""
        ...


M = TypeVar("M", bound=T5Model)


class T5Objective(Generic[M]):
    """Base of objectives that train a T5, alone or with heads.

    A subclass sets `examples`, `loss` and `score`, and what of the others it needs; it has
    `batches`, and adds its own `settings`. What a run may change without becoming another one
    (`eval_batch_size`, devices) is no setting.

    Args:
      model: where to start from.
      dtype: of the T5's computation; None = the model's.
      dropout: rate of the T5; None = the model's.
      scan_layers: compile one layer instead of all, for deep networks.
      remat: recompute activations of the T5 instead of keeping them.

    Attributes:
      config: of the T5 as it is trained.
      model: as it is evaluated and exported: never scanned.
      settings: JSON of what a resumed run must share.
      scores: the evaluation; None = there is none.
    """

    def __init__(
        self,
        model: M,
        *,
        dtype: str | None = None,
        dropout: float | None = None,
        scan_layers: bool = False,
        remat: bool = False,
    ):
        plain = dataclasses.replace(
            model.config,
            dtype=dtype or model.config.dtype,
            dropout_rate=model.config.dropout_rate if dropout is None else dropout,
            scan_layers=False,
            remat=False,
        )
        self.config = dataclasses.replace(plain, scan_layers=scan_layers, remat=remat)
        self.model: M = _replaced(model, config=plain)
        self.skipped: Sequence[str] = ()
        self.notes: Sequence[str] = ()
        self.settings: dict[str, Any] = {"network": dataclasses.asdict(self.config)}
        self.scores: Evaluate | None = None

    @property
    def identity(self) -> Mapping[str, Any]:
        """What a resumed run must share."""
        start = start_of(self.model.params)
        return {"model": self.model.card(), "settings": self.settings, "start": start}

    def initial(self) -> Any:
        """The model's parameters, scanned if so asked."""
        params = self.model.params
        return scan_params(params) if self.config.scan_layers else params

    @property
    def evaluate(self) -> Evaluate | None:
        """Scores parameters as they are trained."""
        scores = self.scores
        return None if scores is None else lambda params: scores(self._plain(params))

    def export(self, params: Any) -> M:
        """The model with these parameters, on the host."""
        return _replaced(self.model, params=jax.device_get(self._plain(params)))

    def _plain(self, params: Any) -> Any:
        return unscan_params(params) if self.config.scan_layers else params


def _replaced(model: M, **changes: Any) -> M:
    made: Any = model  # a dataclass, which protocols cannot say
    return dataclasses.replace(made, **changes)
