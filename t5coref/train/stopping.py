"""Being asked to end: SIGTERM, as schedulers and `kill` send it, and SIGINT, which is Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

USUAL = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
"""The signals, and who has them in a program that takes no interest in them."""


class StopSignals:
    """Notes the first signal instead of ending the process; a second one ends it at once.

    Where a program has a handler of its own, or ignores a signal, that stays as it is; so does
    everything outside the main thread, which alone can have handlers. They are put back on exit.

    Args:
      noted: called when the first signal comes, between any two instructions of the main thread.
    """

    def __init__(self, noted: Callable[[], None]):
        self._noted = noted
        self._caught: int | None = None
        self._replaced: list[signal.Signals] = []

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._replaced = [s for s, usual in USUAL.items() if signal.getsignal(s) is usual]
        for number in self._replaced:
            signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        self._put_back()

    @property
    def came(self) -> bool:
        """Whether there was a signal."""
        return self._caught is not None

    def end(self) -> None:
        """Ends the program as the signal would have.

        Raises:
          KeyboardInterrupt: it was SIGINT.
          SystemExit: it was SIGTERM; the status is 143, as the shell has it.
        """
        if self._caught == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + signal.SIGTERM)

    def _note(self, number: int, frame: Any) -> None:
        del frame
        self._put_back()  # the next signal meets who was there before
        self._caught = number
        self._noted()

    def _put_back(self) -> None:
        while self._replaced:
            number = self._replaced.pop()
            signal.signal(number, USUAL[number])
