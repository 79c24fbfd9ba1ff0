"""Documents of many requests in batches: a bounded queue, and the thread that owns the model.

The thread takes the oldest document and others of its length, at most a batch of them. A document
waits for company only while it is younger than `Limits.max_wait` and no batch is full, so that
nobody is passed over for long. What nobody waits for any more leaves the queue.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from t5coref.core.document import Document
from t5coref.core.errors import T5CorefError
from t5coref.predict import Extractor, failed
from t5coref.serve.limits import Limits
from t5coref.serve.sizes import Size

MEMORY = 0.9  # how much of the running mean of a document's time the last batch leaves
LONGEST_ADVICE = 60  # seconds

logger = logging.getLogger(__name__)


class QueueFullError(T5CorefError):
    """Too many documents wait.

    Attributes:
      retry_after: seconds after which there should be room.
    """

    def __init__(self, message: str, retry_after: int):
        super().__init__(message)
        self.retry_after = retry_after


class StoppedError(T5CorefError):
    """The server takes no more documents."""


class ModelError(T5CorefError):
    """The model broke down over a document, which may have nothing to do with the document."""


class Listener(Protocol):
    """Hears what the thread does; called from that thread, `dropped` from any."""

    def warmed(self, done: int, total: int) -> None:
        """So many of the batches before the first request are done."""
        ...

    def predicted(self, documents: int, words: int, seconds: float) -> None:
        """A batch of so many documents took so long."""
        ...

    def broke(self, documents: int) -> None:
        """The model broke down over a batch of so many documents."""
        ...

    def dropped(self) -> None:
        """Nobody waits for a document any more, and it has left the queue."""
        ...


@dataclass(eq=False)
class _Work:
    document: Document
    size: Size
    since: float
    future: Future[Document] = field(default_factory=Future)


class Batcher:
    """Predicts the documents of many threads, those of like length together.

    Args:
      predictor: the model at work; from `start` on, only the thread uses it.
      size_of: measures documents, from any thread.
      batch_size: rows of a full batch.
      limits: of the queue and of waiting.
      listeners: told what happens.
      warm_up: batches to be predicted before the first request, so that it finds programs compiled.

    Attributes:
      failure: what ended the thread, if it was not `stop`.
      on_failure: called by the thread when something else than `stop` has ended it.
    """

    def __init__(
        self,
        predictor: Extractor,
        *,
        size_of: Callable[[Document], Size],
        batch_size: int,
        limits: Limits,
        listeners: Sequence[Listener] = (),
        warm_up: Sequence[Sequence[Document]] = (),
    ):
        self._predictor, self._size_of, self._batch_size = predictor, size_of, batch_size
        self._limits, self._warm_up = limits, warm_up
        self.listeners = list(listeners)
        self.failure: BaseException | None = None
        self.on_failure: Callable[[], None] = lambda: None
        self._changed = threading.Condition()
        self._buckets: dict[int, deque[_Work]] = {}
        self._entered = 0  # requests that are being read
        self._ready, self._stopping = False, False
        self._pace = 0.0  # seconds for a document, running mean
        self._thread = threading.Thread(target=self._run, name="t5coref-model", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Takes no more documents, waits until all that were taken are done, ends the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    @property
    def ready(self) -> bool:
        """Whether documents are taken."""
        return self._ready and not self._stopping

    @property
    def stopping(self) -> bool:
        """Whether no document will be taken any more."""
        return self._stopping

    @property
    def waiting(self) -> int:
        """Documents in the queue; those that are being predicted do not count."""
        with self._changed:
            return self._length()

    @contextlib.contextmanager
    def entering(self) -> Iterator[Entry]:
        """The stay of a request: it takes a place while it is read, so that bodies are bounded too.

        When it ends, what it still waits for is dropped.

        Raises:
          QueueFullError: there is no place.
          StoppedError: no document is taken any more.
        """
        entry = Entry(self)
        with self._changed:
            self._check_room(1)
            self._entered += 1
        try:
            yield entry
        finally:
            with self._changed:
                self._entered -= entry.futures is None
                entry.left = True
            for future in entry.futures or ():
                future.cancel()

    def _submit(self, entry: Entry, documents: Sequence[Document]) -> list[Future[Document]]:
        sizes = [self._size_of(document) for document in documents]
        now = time.monotonic()
        work = [_Work(d, size, now) for d, size in zip(documents, sizes, strict=True)]
        for one in work:
            one.future.add_done_callback(lambda _, one=one: self._left(one))
        with self._changed:
            if entry.left:  # while it was read
                return []
            self._check_room(len(work), own=1)
            self._entered -= 1
            entry.futures = [one.future for one in work]
            for one in work:
                self._buckets.setdefault(one.size.bucket, deque()).append(one)
            self._changed.notify_all()
            return entry.futures

    def _check_room(self, wanted: int, own: int = 0) -> None:
        """Raises what `entering` raises, if there is no room for so many but for `own` places."""
        if self._stopping:
            raise StoppedError("the server is stopping; send the request to another one")
        taken = self._length() + self._entered - own
        if taken + wanted > self._limits.max_queue:
            seconds = math.ceil(min(taken * self._pace, LONGEST_ADVICE)) or 1
            raise QueueFullError(
                f"{taken} documents and requests wait, and {self._limits.max_queue} may; send the "
                f"request again in {seconds} s, with fewer documents if it has many",
                seconds,
            )

    def _length(self) -> int:
        return sum(map(len, self._buckets.values()))

    def _left(self, work: _Work) -> None:
        """Takes a document out of the queue that nobody waits for."""
        if not work.future.cancelled():
            return
        with self._changed, contextlib.suppress(ValueError, KeyError):
            self._buckets[work.size.bucket].remove(work)
            if not self._buckets[work.size.bucket]:
                del self._buckets[work.size.bucket]
        for listener in self.listeners:
            listener.dropped()

    def _run(self) -> None:
        try:
            self._prepare()
            while (batch := self._next_batch()) is not None:
                if batch:
                    self._predict(batch)
        except BaseException as error:  # whatever it was, nobody may wait for ever
            logger.exception("the thread of the model has ended")
            self.failure = error
        finally:
            with self._changed:
                self._stopping = True
                left = [work for bucket in self._buckets.values() for work in bucket]
                self._buckets.clear()
            for work in left:
                if work.future.set_running_or_notify_cancel():
                    work.future.set_exception(ModelError("the model is not at work any more"))
            if self.failure is not None:
                self.on_failure()

    def _prepare(self) -> None:
        for done, documents in enumerate(self._warm_up, start=1):
            if self._stopping:
                return
            try:
                list(self._predictor.predict(documents))
            except Exception as error:
                raise ModelError(
                    f"warm-up: the model broke down over {len(documents)} documents of "
                    f"{len(documents[0].words)} words ({error!r}); expected it to predict them; "
                    "take a smaller --batch-size, --window or --max-words"
                ) from error
            for listener in self.listeners:
                listener.warmed(done, len(self._warm_up))
        self._predictor.memory = None  # made-up documents are nothing to learn from
        self._ready = True

    def _next_batch(self) -> list[_Work] | None:
        """The next documents, perhaps none; None when the thread shall end."""
        with self._changed:
            while True:
                if not self._buckets:
                    if self._stopping:
                        return None
                    self._changed.wait()
                    continue
                oldest = min(self._buckets, key=self._since)
                due = self._since(oldest) + self._limits.max_wait - time.monotonic()
                if due <= 0 or self._stopping:
                    return self._take(oldest)
                full = [bucket for bucket in self._buckets if self._is_full(bucket)]
                if full:
                    return self._take(min(full, key=self._since))
                self._changed.wait(due)

    def _since(self, bucket: int) -> float:
        return self._buckets[bucket][0].since

    def _is_full(self, bucket: int) -> bool:
        return sum(work.size.rows for work in self._buckets[bucket]) >= self._batch_size

    def _take(self, bucket: int) -> list[_Work]:
        queue, taken, rows = self._buckets[bucket], [], 0
        while queue and (not rows or rows + queue[0].size.rows <= self._batch_size):
            work = queue.popleft()
            if work.future.set_running_or_notify_cancel():
                taken.append(work)
                rows += work.size.rows
        if not queue:
            del self._buckets[bucket]
        return taken

    def _predict(self, batch: Sequence[_Work]) -> None:
        """Predicts a batch; where the model breaks down, each document on its own."""
        documents = [work.document for work in batch]
        began = time.monotonic()
        try:
            found = list(zip(batch, self._predictor.predict(documents), strict=True))
        except Exception as error:
            # What was learned may be as broken as the batch that it was learned from.
            self._predictor.memory = None
            if len(batch) == 1:
                self._give_up(batch[0], error)
                return
            logger.warning("%d documents are predicted one by one after %r", len(batch), error)
            for listener in self.listeners:
                listener.broke(len(batch))
            for work in batch:
                self._predict([work])
            return
        seconds = time.monotonic() - began
        pace = seconds / len(batch)
        self._pace = MEMORY * self._pace + (1 - MEMORY) * pace if self._pace else pace
        for listener in self.listeners:
            listener.predicted(len(batch), sum(len(d.words) for d in documents), seconds)
        for work, document in found:
            work.future.set_result(document)

    def _give_up(self, work: _Work, error: Exception) -> None:
        if isinstance(error, T5CorefError):
            work.future.set_result(failed(work.document, error))
            return
        logger.error("the model broke down over %r", work.document.doc_id, exc_info=error)
        for listener in self.listeners:
            listener.broke(1)
        message = (
            f"document {work.document.doc_id!r}: the model broke down ({type(error).__name__}); "
            "expected a prediction; the log of the server says more, others are not affected"
        )
        work.future.set_exception(ModelError(message))


class Entry:
    """A request in the queue.

    Attributes:
      futures: of its documents; None until they are in the queue.
      left: whether it has ended.
    """

    def __init__(self, batcher: Batcher):
        self._batcher = batcher
        self.futures: list[Future[Document]] | None = None
        self.left = False

    def submit(self, documents: Sequence[Document]) -> list[Future[Document]]:
        """Puts all of the documents into the queue or none; once for each request.

        Returns:
          For each the document with its predicted annotation, or with `extra["error"]`; or
          `ModelError`.

        Raises:
          QueueFullError: there is no room for so many.
          StoppedError: no document is taken any more.
        """
        return self._batcher._submit(self, documents)
