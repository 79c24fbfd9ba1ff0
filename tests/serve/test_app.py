"""Statuses, messages and answers over HTTP, with a model that is none."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time

import pytest
from pages import parsed
from servers import HOPELESS, POISON
from starlette.testclient import TestClient

from t5coref.corpora import jsonl, text
from t5coref.serve import messages
from t5coref.serve.app import Service
from t5coref.serve.batcher import Batcher
from t5coref.serve.limits import Limits
from t5coref.serve.sizes import by_words, of_words

STORY = "Anna saw Anna. 🎩 Ben saw Ben."


@pytest.fixture
def service_of(repeats):
    @contextlib.contextmanager
    def make(*, warm_up=(), **limits):
        limits = Limits(**{"max_wait": 0, **limits})
        batcher = Batcher(repeats, size_of=by_words, batch_size=4, limits=limits, warm_up=warm_up)
        service = Service(batcher, limits=limits, language="en", identity=repeats.identity)
        with TestClient(service.app(), raise_server_exceptions=False) as client:
            wait_for(lambda: warm_up or batcher.ready)
            yield client, batcher
            repeats.gate.set()

    return make


def wait_for(condition):
    """Until it holds; half a minute at most."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def in_background(function, *args, **options):
    """A thread and the list that its result goes to."""
    out = []
    thread = threading.Thread(target=lambda: out.append(function(*args, **options)))
    thread.start()
    return thread, out


def counts(client) -> dict[str, float]:
    lines = client.get("/metrics").text.splitlines()
    return {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    }


def test_a_text_gets_the_record_that_predict_writes(service_of):
    with service_of() as (client, _):
        answer = client.post("/predict", json={"text": STORY})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    record = answer.json()
    assert record["doc_id"] == "text"
    clusters = [[STORY[a:b] for a, b in cluster] for cluster in record["char_clusters"]]
    assert clusters == record["cluster_texts"]
    assert ["Anna", "Anna"] in clusters
    assert ["Ben", "Ben"] in clusters
    words = [[record["tokens"][a:b] for a, b in cluster] for cluster in record["clusters"]]
    assert words == [[[t] for t in cluster] for cluster in clusters]
    # It is our jsonl again.
    document = jsonl.from_json(record)
    assert document.text == STORY
    assert document.words == text.from_string("x", STORY).words


def test_lists_keep_their_order_and_take_every_kind_of_document(service_of):
    given = {"doc_id": "b", "tokens": ["x", "y", "x"], "speakers": ["A", None, "A"], "own": [1]}
    items = ["w w", {"doc_id": "a", "text": "z z z"}, given, {"tokens": []}, ""]
    with service_of() as (client, _):
        answer = client.post("/predict", json={"documents": items})
    assert answer.status_code == 200
    records = answer.json()["documents"]
    assert [r["doc_id"] for r in records] == ["document-0", "a", "b", "document-3", "document-4"]
    assert [r["clusters"] for r in records] == [
        [[[0, 1], [1, 2]]], [[[0, 1], [1, 2], [2, 3]]], [[[0, 1], [2, 3]]], [], []
    ]  # fmt: skip
    assert records[2]["own"] == [1]
    assert records[2]["speakers"] == given["speakers"]
    assert records[2]["cluster_texts"] == [["x", "x"]]
    assert "char_clusters" not in records[2]
    assert "confidences" not in records[0]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, "not JSON"),
        (b"\xff", 400, "not JSON in UTF-8"),
        (b'{"text": NaN}', 400, "NaN is no JSON"),
        (b"[" * 100_000, 400, "not JSON"),
        (b"[]", 422, '[]; expected an object with "text" or "documents"'),
        (b"{}", 422, "neither of"),
        (b'{"text": "a", "documents": []}', 422, "both of"),
        (b'{"text": 1}', 422, '"text" is 1; expected a string'),
        (b'{"text": "a", "doc_id": ""}', 422, '"doc_id" is ""; expected a non-empty'),
        (b'{"text": "a", "texts": "b"}', 422, "unknown fields ['texts']; expected text,"),
        (b'{"text": "a", "confidences": 1}', 422, '"confidences" is 1; expected true or false'),
        (b'{"text": "\\ud83d"}', 422, "half of a surrogate pair at character 0"),
        (b'{"documents": []}', 422, '"documents" is []; expected a list'),
        (b'{"documents": ["a"], "doc_id": "b"}', 422, "expected it in each of the documents"),
        (b'{"documents": ["a", 1]}', 422, "documents[1]: 1; expected a string or an object"),
        (b'{"documents": [{"tokens": "a"}]}', 422, 'documents[0]: document \'document-0\': "tok'),
        (b'{"documents": [{"tokens": [""]}]}', 422, "word 0 is ''; expected a non-empty string"),
        (b'{"documents": [{"tokens": ["\\udc00"]}]}', 422, "half of a surrogate pair"),
        (b'{"documents": [{"doc_id": "a"}]}', 422, '"tokens" is null; expected a list of words'),
        (b'{"documents": [{"text": "a", "pos": []}]}', 422, "['pos'] without \"tokens\""),
        (b'{"documents": ["a", "a", "a", "a", "a", "a"]}', 413, "has 6 documents; expected at"),
        (b'{"text": "%s"}' % (b"w " * 31), 413, "has 31 words"),
        (b'{"text": "%s"}' % (b"w" * 500), 413, "has 32 words"),
        (b'{"text": "%s"}' % ((b"(" * 16 + b" ") * 31), 413, "has 31 words"),
        (b'{"text": "%s"}' % (b" " * 300_000), 413, "more than 250000 bytes"),
    ],
)  # fmt: skip
def test_bad_requests_are_refused_with_the_reason(service_of, repeats, body, status, message):
    with service_of(max_queue=5, max_words=30, max_bytes=250_000) as (client, _):
        answer = client.post("/predict", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert message in answer.json()["error"]
    assert repeats.batches == []


def test_bodies_of_unknown_length_are_bounded_too(service_of):
    with service_of(max_bytes=1000) as (client, _):
        headers = {"Content-Type": "application/json"}
        endless = (b" " * 100 for _ in range(10_000))
        answer = client.post("/predict", content=endless, headers=headers)
        assert answer.status_code == 413
        assert client.post("/predict", json={"text": "a"}).status_code == 200


def test_what_takes_too_long_to_cut_into_words_is_refused_before(service_of):
    with service_of() as (client, _):
        answer = client.post("/predict", json={"text": "(" * 4000})
    assert answer.status_code == 413
    assert "4000 characters without a blank" in answer.json()["error"]


def test_other_kinds_paths_and_methods(service_of):
    with service_of() as (client, _):
        body = json.dumps({"text": "a"})
        # What a page of another site could send without being asked.
        assert client.post("/predict", content=body).status_code == 415
        for kind in ("text/plain", "application/x-www-form-urlencoded"):
            answer = client.post("/predict", content=body, headers={"Content-Type": kind})
            assert answer.status_code == 415
        kind = {"Content-Type": "Application/JSON; charset=utf-8"}
        assert client.post("/predict", content=body, headers=kind).status_code == 200
        for answer, status in ((client.get("/predict"), 405), (client.get("/nothing"), 404)):
            assert answer.status_code == status
            assert "GET / describes" in answer.json()["error"]
        assert counts(client)['t5coref_requests_total{path="other",status="404"}'] == 1


def test_documents_that_fail_say_why_and_leave_the_others_alone(service_of, repeats):
    with service_of() as (client, _):
        several = {"documents": ["a a", f"{POISON} x", f"{HOPELESS} y", "b b"]}
        answer = client.post("/predict", json=several)
        assert answer.status_code == 500
        value = answer.json()
        assert "2 of 4 documents" in value["error"]
        errors = [record.get("error") for record in value["documents"]]
        assert errors[0] is errors[3] is None
        assert "the model broke down (RuntimeError)" in errors[1]
        assert errors[2] == "hopeless; expected hope"
        assert [len(record["clusters"]) for record in value["documents"]] == [1, 0, 0, 1]

        assert client.post("/predict", json={"text": HOPELESS}).status_code == 422
        assert client.post("/predict", json={"text": POISON}).status_code == 500
        # A record with an old error is a document like any other.
        again = {**value["documents"][1], "tokens": ["fine"], "sentences": None}
        again["token_offsets"] = None
        assert client.post("/predict", json={"documents": [again]}).status_code == 200
        found = counts(client)
        assert found['t5coref_documents_total{outcome="failed"}'] == 2
        assert found['t5coref_requests_total{path="/predict",status="500"}'] == 2


def test_a_mistake_of_ours_is_answered_in_json_too(service_of, monkeypatch):
    with service_of() as (client, _):
        monkeypatch.setattr(messages, "read", lambda *_: 1 / 0)
        answer = client.post("/predict", json={"text": "a"})
        assert answer.status_code == 500
        assert "ZeroDivisionError" in answer.json()["error"]
        monkeypatch.undo()
        assert client.post("/predict", json={"text": "a"}).status_code == 200
        assert counts(client)['t5coref_requests_total{path="/predict",status="500"}'] == 1


def test_a_full_queue_says_when_to_come_again(service_of, repeats):
    with service_of(max_queue=2) as (client, batcher):
        repeats.gate.clear()
        first, one = in_background(client.post, "/predict", json={"text": "a a"})
        assert repeats.working.wait(30)
        second, two = in_background(client.post, "/predict", json={"documents": ["b b", "c c"]})
        wait_for(lambda: batcher.waiting == 2)
        refused = client.post("/predict", json={"text": "d"})
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) >= 1
        assert "send the request again in" in refused.json()["error"]
        assert counts(client)["t5coref_queue_documents"] == 2
        repeats.gate.set()
        first.join()
        second.join()
        assert [a.status_code for a in (*one, *two)] == [200, 200]


def test_late_requests_are_dropped(service_of, repeats):
    with service_of(timeout=0.2) as (client, batcher):
        repeats.gate.clear()
        late = [in_background(client.post, "/predict", json={"text": "a"})]
        assert repeats.working.wait(30)
        late.append(in_background(client.post, "/predict", json={"text": "b"}))
        for thread, _ in late:
            thread.join()
        assert [out[0].status_code for _, out in late] == [504, 504]
        assert "no answer within 0.2 s" in late[0][1][0].json()["error"]
        assert batcher.waiting == 0
        assert repeats.batches == [["text"]]  # the other one never came to the model
        repeats.gate.set()
        assert client.post("/predict", json={"text": "c"}).status_code == 200
        assert counts(client)['t5coref_documents_total{outcome="dropped"}'] == 1


def test_not_ready_before_the_warm_up_is_over(service_of, repeats):
    repeats.gate.clear()
    with service_of(warm_up=[[of_words(5)]]) as (client, batcher):
        assert client.get("/health").json() == {"alive": True}
        ready = client.get("/ready")
        assert (ready.status_code, ready.json()) == (503, {"ready": False})
        early = client.post("/predict", json={"text": "a"})
        assert early.status_code == 503
        assert early.headers["Retry-After"]
        repeats.gate.set()
        wait_for(lambda: batcher.ready)
        assert client.get("/ready").status_code == 200
        assert client.post("/predict", json={"text": "a"}).status_code == 200
        batcher.stop()
        assert client.get("/ready").status_code == 503
        stopped = client.post("/predict", json={"text": "a"})
        assert stopped.status_code == 503
        assert "stopping" in stopped.json()["error"]


def test_a_thread_that_has_ended_is_reported(service_of, repeats):
    with service_of(warm_up=[[of_words(1)]]) as (client, batcher):
        batcher.stop()
        batcher.failure = RuntimeError("gone")
        assert client.get("/health").status_code == 503


async def post(app, gone: asyncio.Event, *chunks: bytes, whole: bool = True):
    """What the application sends to a client by hand, which may go, or not send all that it has."""
    scope = {
        "type": "http", "method": "POST", "path": "/predict", "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }  # fmt: skip
    told = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    told[-1]["more_body"] = not whole
    sent = []

    async def receive():
        if told:
            return told.pop(0)
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    return sent


def test_a_client_that_goes_harms_nobody(repeats):
    limits = Limits(max_wait=0)
    batcher = Batcher(repeats, size_of=by_words, batch_size=4, limits=limits)
    app = Service(batcher, limits=limits, language="en", identity={}).app()

    async def run():
        async with app.router.lifespan_context(app):
            await asyncio.to_thread(wait_for, lambda: batcher.ready)
            repeats.gate.clear()
            stays, goes = asyncio.Event(), asyncio.Event()
            first = asyncio.create_task(post(app, stays, b'{"text": "a a"}'))
            await asyncio.to_thread(repeats.working.wait, 30)
            left, stayed = (
                b'{"doc_id": "left", "text": "b"}',
                b'{"doc_id": "stayed", "text": "c c"}',
            )
            leaving = asyncio.create_task(post(app, goes, left))
            staying = asyncio.create_task(post(app, stays, stayed[:9], stayed[9:]))
            reading = asyncio.create_task(post(app, goes, left, whole=False))
            await asyncio.to_thread(wait_for, lambda: batcher.waiting == 2)
            goes.set()
            for gone in (leaving, reading):
                assert (await gone)[0]["status"] == 499
            assert batcher.waiting == 1
            repeats.gate.set()
            return await first, await staying

    answers = asyncio.run(run())
    for answer in answers:
        assert answer[0]["status"] == 200
        assert json.loads(answer[1]["body"])["clusters"] == [[[0, 1], [1, 2]]]
    assert repeats.batches == [["text"], ["stayed"]]


def test_a_body_that_does_not_come_holds_no_place_for_long(repeats):
    limits = Limits(max_wait=0, timeout=0.1, max_queue=1)
    batcher = Batcher(repeats, size_of=by_words, batch_size=4, limits=limits)
    app = Service(batcher, limits=limits, language="en", identity={}).app()

    async def run():
        async with app.router.lifespan_context(app):
            await asyncio.to_thread(wait_for, lambda: batcher.ready)
            slow = await post(app, asyncio.Event(), b'{"text"', whole=False)
            return slow, await post(app, asyncio.Event(), b'{"text": "a"}')

    slow, next_ = asyncio.run(run())
    assert slow[0]["status"] == 408
    assert b"has not come within 0.1 s" in slow[1]["body"]
    assert next_[0]["status"] == 200


def test_metrics_are_what_prometheus_reads(service_of):
    parser = pytest.importorskip("prometheus_client.parser")
    with service_of() as (client, _):
        client.post("/predict", json={"documents": ["a a", "b b b"]})
        answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    families = {f.name: f for f in parser.text_string_to_metric_families(answer.text)}
    samples = {(s.name, *s.labels.values()): s.value for f in families.values() for s in f.samples}
    assert samples["t5coref_requests_total", "/predict", "200"] == 1
    assert samples["t5coref_documents_total", "predicted"] == 2
    assert samples["t5coref_words_total",] == 5
    assert samples["t5coref_batch_documents_count",] >= 1
    assert samples["t5coref_batch_documents_sum",] == 2
    assert samples["t5coref_request_seconds_count",] == 1
    assert samples["t5coref_ready",] == 1
    assert samples["t5coref_queue_documents",] == 0


def test_the_page_is_whole_and_escaped(service_of):
    with service_of() as (client, _):
        page, described = client.get("/"), client.get("/openapi.json").json()
    assert "<repeats" not in page.text
    assert "&lt;repeats &amp; co&gt;" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    tree = parsed(page.text)
    assert not [node for node in tree.walk() if {"src", "href"} & set(node.attributes)]
    assert not tree.all("script")
    assert described["openapi"].startswith("3.1")
    fields = described["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    assert set(fields["schema"]["properties"]) == set(messages.FIELDS)
    assert described["info"]["x-limits"]["words"] == Limits().max_words
