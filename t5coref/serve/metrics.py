"""What happens, counted for Prometheus.

By `prometheus_client`, Prometheus' own package: its text format, escaping and histograms are not
ours to write again.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from t5coref.serve.batcher import Batcher, Listener

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
DOCUMENTS = (1, 2, 4, 8, 16, 32, 64)


class Metrics(Listener):
    """Counts for one server.

    Args:
      batcher: whose queue is watched; it has to be told of us as a listener.
    """

    media_type = CONTENT_TYPE_LATEST

    def __init__(self, batcher: Batcher):
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "t5coref_requests", "Requests answered; 499: the client had gone", ["path", "status"],
            registry=registry,
        )  # fmt: skip
        self._request_seconds = Histogram(
            "t5coref_request_seconds", "Time of requests to /predict, reading them included",
            registry=registry, buckets=SECONDS,
        )  # fmt: skip
        self._documents = Counter(
            "t5coref_documents",
            "Documents predicted, over which the model broke down, and dropped since nobody waited",
            ["outcome"], registry=registry,
        )  # fmt: skip
        self._words = Counter("t5coref_words", "Words of predicted documents", registry=registry)
        self._batches = Histogram(
            "t5coref_batch_documents", "Documents of a batch", registry=registry, buckets=DOCUMENTS
        )
        self._batch_seconds = Histogram(
            "t5coref_batch_seconds", "Time of a batch", registry=registry, buckets=SECONDS
        )
        self._breakdowns = Counter(
            "t5coref_batch_failures",
            "Batches over which the model broke down; those of several documents were tried again",
            registry=registry,
        )  # fmt: skip
        queue = Gauge("t5coref_queue_documents", "Documents that wait", registry=registry)
        queue.set_function(lambda: batcher.waiting)
        ready = Gauge("t5coref_ready", "1 where documents are taken, else 0", registry=registry)
        ready.set_function(lambda: float(batcher.ready))

    def text(self) -> bytes:
        """All counts in Prometheus' text format."""
        return generate_latest(self._registry)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._requests.labels(path, str(status)).inc()
        if path == "/predict":
            self._request_seconds.observe(seconds)

    def warmed(self, done: int, total: int) -> None:
        """See `Listener`; not counted."""

    def predicted(self, documents: int, words: int, seconds: float) -> None:
        """See `Listener`."""
        self._documents.labels("predicted").inc(documents)
        self._words.inc(words)
        self._batches.observe(documents)
        self._batch_seconds.observe(seconds)

    def broke(self, documents: int) -> None:
        """See `Listener`."""
        self._breakdowns.inc()
        if documents == 1:
            self._documents.labels("failed").inc()

    def dropped(self) -> None:
        """See `Listener`."""
        self._documents.labels("dropped").inc()
