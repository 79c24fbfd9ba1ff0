"""The queue and the thread: what is predicted together, refused, dropped, tried again."""

from __future__ import annotations

import random
import threading

import pytest
from servers import HOPELESS, POISON

from t5coref.core.document import Document
from t5coref.core.errors import ConfigError
from t5coref.predict import error_of
from t5coref.serve.batcher import Batcher, ModelError, QueueFullError, StoppedError
from t5coref.serve.limits import Limits
from t5coref.serve.sizes import Size, by_words, of_words, one_of_each, warm_up

STAYS: list = []


class Heard:
    def __init__(self):
        self.warm, self.counts, self.broken, self.drops = [], [], [], 0

    def warmed(self, done, total):
        self.warm.append((done, total))

    def predicted(self, documents, words, seconds):
        assert seconds >= 0
        self.counts.append((documents, words))

    def broke(self, documents):
        self.broken.append(documents)

    def dropped(self):
        self.drops += 1


def text(name: str, *words: str) -> Document:
    return Document(doc_id=name, words=words)


@pytest.fixture
def batcher_of(repeats):
    made = []

    def make(*, size_of=by_words, batch_size=4, warm_up=(), start=True, **limits):
        heard = Heard()
        limits = Limits(**{"max_wait": 0, **limits})
        batcher = Batcher(repeats, size_of=size_of, batch_size=batch_size, limits=limits,
                          listeners=[heard], warm_up=warm_up)  # fmt: skip
        made.append(batcher)
        if start:
            batcher.start()
        return batcher, heard

    yield make
    repeats.gate.set()
    for batcher in made:
        batcher.stop()
    STAYS.clear()


def submit(batcher, *documents):
    """Leaves the request's stay open, as if its client were waiting."""
    stay = batcher.entering()
    STAYS.append(stay)  # it would end with its last reference
    return stay, stay.__enter__().submit(documents)


def held(repeats, batcher):
    """Keeps the model at work over a document, so that others have to wait."""
    repeats.gate.clear()
    submit(batcher, text("first", "a"))
    assert repeats.working.wait(30)
    repeats.batches.clear()


def test_documents_of_one_length_share_a_batch_and_the_oldest_goes_first(repeats, batcher_of):
    batcher, heard = batcher_of()
    held(repeats, batcher)
    lengths = [3, 200, 4, 5, 210, 6, 7, 8]
    names = [f"{i}-{n}" for i, n in enumerate(lengths)]
    futures = []
    for name, n in zip(names, lengths, strict=True):
        futures += submit(batcher, text(name, *["w"] * n))[1]
    assert batcher.waiting == 8
    repeats.gate.set()
    found = [future.result(30) for future in futures]
    assert [d.doc_id for d in found] == names
    assert [len(d.annotation.clusters[0]) for d in found] == lengths
    assert repeats.batches == [["0-3", "2-4", "3-5", "5-6"], ["1-200", "4-210"], ["6-7", "7-8"]]
    assert heard.counts[1:] == [(4, 18), (2, 410), (2, 15)]
    assert batcher.waiting == 0


def test_a_document_of_many_windows_fills_batches_on_its_own(repeats, batcher_of):
    batcher, _ = batcher_of(size_of=lambda d: Size(64, len(d.words)))
    held(repeats, batcher)
    futures = [submit(batcher, text(str(n), *["w"] * n))[1][0] for n in (9, 2, 1, 3)]
    repeats.gate.set()
    for future in futures:
        future.result(30)
    assert repeats.batches == [["9"], ["2", "1"], ["3"]]


def test_a_full_batch_goes_before_the_wait_is_over(repeats, batcher_of):
    batcher, _ = batcher_of(max_wait=1000, batch_size=2)
    lone = submit(batcher, text("long", *["w"] * 200))[1][0]
    pair = [submit(batcher, text(name, "w"))[1][0] for name in "ab"]
    for future in pair:
        future.result(30)
    assert repeats.batches == [["a", "b"]]
    assert not lone.done()
    batcher.stop()  # waits for nobody, and for all that was taken
    assert lone.result(0).doc_id == "long"


def test_what_breaks_the_model_down_does_not_fail_its_neighbors(repeats, batcher_of):
    batcher, heard = batcher_of()
    held(repeats, batcher)
    documents = [text("a", "x", "x"), text("p", POISON), text("h", HOPELESS), text("b", "y", "y")]
    futures = [submit(batcher, d)[1][0] for d in documents]
    repeats.gate.set()
    a, b = futures[0].result(30), futures[3].result(30)
    assert [d.annotation.clusters for d in (a, b)] == [(((0, 1), (1, 2)),)] * 2
    with pytest.raises(ModelError, match=r"'p': the model broke down \(RuntimeError\)"):
        futures[1].result(30)
    refused = futures[2].result(30)
    assert error_of(refused) == "hopeless; expected hope"
    assert refused.annotation.clusters == ()
    assert repeats.batches == [["a", "p", "h", "b"], ["a"], ["p"], ["h"], ["b"]]
    assert heard.broken == [4, 1]
    assert repeats.memory is None
    # And the next ones find a model at work.
    assert submit(batcher, text("c", "z", "z"))[1][0].result(30).annotation.clusters


def test_a_full_queue_takes_all_of_a_request_or_nothing(repeats, batcher_of):
    batcher, _ = batcher_of(max_queue=4)
    held(repeats, batcher)
    submit(batcher, *(text(name, "w") for name in "abc"))
    with (
        pytest.raises(QueueFullError, match="3 documents and requests wait") as caught,
        batcher.entering() as entry,
    ):
        entry.submit([text("d", "w"), text("e", "w")])
    assert caught.value.retry_after >= 1
    assert batcher.waiting == 3
    stay = batcher.entering()
    stay.__enter__()  # a request that is being read has the last place
    with pytest.raises(QueueFullError), batcher.entering():
        pass
    stay.__exit__(None, None, None)
    submit(batcher, text("f", "w"))
    assert batcher.waiting == 4


def test_what_nobody_waits_for_is_dropped(repeats, batcher_of):
    batcher, heard = batcher_of()
    held(repeats, batcher)
    gone, futures = submit(batcher, text("gone-1", "w"), text("gone-2", *["w"] * 200))
    _, (kept,) = submit(batcher, text("kept", "w"))
    gone.__exit__(None, None, None)
    assert all(future.cancelled() for future in futures)
    assert batcher.waiting == 1
    assert heard.drops == 2
    repeats.gate.set()
    assert kept.result(30).doc_id == "kept"
    assert repeats.batches == [["kept"]]


def test_a_request_that_ends_while_it_is_read_puts_nothing_into_the_queue(repeats, batcher_of):
    batcher, _ = batcher_of()
    held(repeats, batcher)
    with batcher.entering() as entry:
        pass
    assert entry.submit([text("late", "w")]) == []
    assert batcher.waiting == 0


def test_stopping_finishes_what_was_taken(repeats, batcher_of):
    batcher, _ = batcher_of()
    held(repeats, batcher)
    futures = [submit(batcher, text(str(i), *["w"] * n))[1][0] for i, n in enumerate((1, 99, 1))]
    stopping = threading.Thread(target=batcher.stop)
    stopping.start()
    while not batcher.stopping:
        pass
    with pytest.raises(StoppedError), batcher.entering():
        pass
    repeats.gate.set()
    stopping.join(30)
    assert [future.result(0).doc_id for future in futures] == ["0", "1", "2"]


def test_warm_up_comes_before_readiness_and_leaves_nothing_learned(repeats, batcher_of):
    repeats.gate.clear()
    batches = warm_up(by_words, 60, 4)
    batcher, heard = batcher_of(warm_up=batches, batch_size=4)
    assert repeats.working.wait(30)
    assert not batcher.ready
    repeats.gate.set()
    with batcher.entering() as entry:
        entry.submit([text("a", "w")])[0].result(30)
    assert batcher.ready
    assert heard.warm == [(i, 3) for i in (1, 2, 3)]
    assert [len(b) for b in repeats.batches] == [1, 2, 4, 1]
    assert repeats.memory is None


def test_a_model_that_cannot_even_warm_up_ends_the_server(repeats, batcher_of):
    batcher, _ = batcher_of(warm_up=[[text("w", POISON)]], start=False)
    ended = threading.Event()
    batcher.on_failure = ended.set
    future = submit(batcher, text("a", "w"))[1][0]
    batcher.start()
    assert ended.wait(30)
    assert isinstance(batcher.failure, ModelError)
    assert "warm-up" in str(batcher.failure)
    with pytest.raises(ModelError):
        future.result(30)
    assert not batcher.ready


def test_many_threads_lose_nothing_and_get_their_own(repeats, batcher_of):
    batcher, heard = batcher_of(max_wait=0.001, max_queue=10_000)
    wrong, answered = [], []

    def client(seed):
        rng = random.Random(seed)
        for i in range(20):
            documents = [
                text(f"{seed}-{i}-{k}", *["w"] * rng.choice((2, 3, 70, 300)))
                for k in range(rng.randint(1, 3))
            ]
            with batcher.entering() as entry:
                futures = entry.submit(documents)
                if rng.random() < 0.2:
                    continue  # and nobody waits
                found = [future.result(30) for future in futures]
            answered.extend(found)
            wrong.extend(
                d.doc_id
                for d, f in zip(documents, found, strict=True)
                if f.doc_id != d.doc_id or len(f.annotation.clusters[0]) != len(d.words)
            )

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert len(answered) > 200
    assert batcher.waiting == 0
    assert len({d.doc_id for d in answered}) == len(answered)
    assert sum(n for n, _ in heard.counts) >= len(answered)


def test_documents_of_every_length_are_made_once():
    made = list(one_of_each(by_words, 5000))
    assert [by_words(d).bucket for d in made] == [64, 96, 128, 192, 256, 384, 512]
    assert max(len(d.words) for d in made) <= 512
    assert [by_words(of_words(n)).rows for n in (0, 512, 513, 5000)] == [1, 1, 2, 10]
    many = one_of_each(
        lambda d: Size(64 if len(d.words) < 100 else 96, 1 + len(d.words) // 150), 999
    )
    assert [by_words(d).bucket for d in many] == [64, 128]
    assert list(one_of_each(by_words, 0)) == []
    assert [len(b) for b in warm_up(by_words, 10, 6)] == [1, 2, 4, 6]
    assert of_words(23).sentences[-1] == (20, 23)


@pytest.mark.parametrize(
    "wrong", [{"max_queue": 0}, {"timeout": 0}, {"timeout": float("nan")}, {"max_wait": -1}]
)
def test_limits_are_checked(wrong):
    with pytest.raises(ConfigError, match="expected at least"):
        Limits(**wrong)
    assert Limits(timeout=0.5, max_wait=0).timeout == 0.5
