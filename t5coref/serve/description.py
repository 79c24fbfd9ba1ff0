"""What a server can be asked: OpenAPI for programs, a page for people."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from typing import Any

from t5coref._version import __version__
from t5coref.serve.limits import Limits

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""Content-Security-Policy of the page: it loads nothing and runs nothing."""

_EXAMPLE = {"text": "Mara fed her dog. It was hungry."}

STATUSES = {
    "200": "a record, or a list of them in the order of the documents",
    "400": "the body is no JSON in UTF-8",
    "408": "the body did not come in time",
    "413": "too many bytes, words or documents",
    "415": "Content-Type is not application/json",
    "422": "JSON of another shape; or a document that cannot be predicted, beside those that can",
    "429": "the queue is full; Retry-After says when to come again",
    "500": "the model broke down over a document; what it predicted of the others is there",
    "503": "the model is warming up, or the server is stopping",
    "504": "no answer in time; the work was dropped",
}
"""Of POST /predict."""


def openapi(limits: Limits, identity: Mapping[str, Any]) -> dict[str, Any]:
    """The description of the interface in OpenAPI 3.1."""
    document = {
        "type": "object",
        "required": ["doc_id", "tokens"],
        "description": "A document of t5coref's jsonl, see docs/formats.md",
    }
    raw = {
        "type": "object",
        "required": ["text"],
        "properties": {"text": {"type": "string"}, "doc_id": {"type": "string"}},
    }
    query = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "text": {"type": "string", "description": "a text; this or documents"},
            "doc_id": {"type": "string", "description": "its name (default: text)"},
            "documents": {
                "type": "array",
                "minItems": 1,
                "maxItems": limits.max_queue,
                "items": {"anyOf": [{"type": "string"}, raw, document]},
            },
            "confidences": {
                "type": "boolean",
                "default": False,
                "description": "whether to answer with the model's probabilities of mentions",
            },
        },
    }
    body = {"required": True, "content": {"application/json": {"schema": query}}}
    answers = {status: {"description": text} for status, text in STATUSES.items()}
    gets = {
        "/health": "whether the process is alive",
        "/ready": "whether documents are taken: 200 or 503",
        "/metrics": "counts for Prometheus",
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "t5coref",
            "version": __version__,
            "description": "Coreference: documents in, clusters out",
            "x-model": dict(identity),
            "x-limits": shown(limits),
        },
        "paths": {
            "/predict": {
                "post": {
                    "summary": "Predicts documents",
                    "requestBody": body,
                    "responses": answers,
                }
            },
            **{
                path: {"get": {"summary": text, "responses": {"200": {"description": "so"}}}}
                for path, text in gets.items()
            },
        },
    }


def shown(limits: Limits) -> dict[str, float]:
    """The limits as clients need them."""
    return {
        "documents": limits.max_queue,
        "words": limits.max_words,
        "bytes": limits.max_bytes,
        "seconds": limits.timeout,
    }


def page(limits: Limits, identity: Mapping[str, Any]) -> str:
    """The page, which is whole without any other request."""
    example = html.escape(json.dumps(_EXAMPLE))
    rows = "".join(f"<tr><td>{k}</td><td>{html.escape(v)}</td></tr>" for k, v in STATUSES.items())
    most = "".join(f"<tr><td>{k}</td><td>{v:,g}</td></tr>" for k, v in shown(limits).items())
    model = html.escape(json.dumps(identity, indent=2, ensure_ascii=False))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>t5coref</title>
<style>body {{ font: 16px/1.5 sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em }}
pre {{ background: #f4f4f4; padding: 1em; overflow: auto }} td {{ padding: 0 1em 0 0 }}</style>
</head><body>
<h1>t5coref {html.escape(__version__)}</h1>
<p>Coreference: documents in, clusters out.</p>
<pre>curl -H 'Content-Type: application/json' -d '{example}' HOST/predict</pre>
<p>The answer is the record that <code>t5coref predict</code> writes for the text:
<code>tokens</code>, <code>clusters</code> (half-open word offsets), <code>char_clusters</code>
(character offsets into the text), <code>cluster_texts</code>. Instead of <code>text</code>,
<code>documents</code> may be a list of texts and of documents with <code>tokens</code>; the answer
is a list then.</p>
<p><code>GET /openapi.json</code> describes it to programs. <code>GET /health</code>,
<code>/ready</code> and <code>/metrics</code> are for whoever runs the server.</p>
<h2>Statuses</h2><table>{rows}</table>
<h2>Most of a request</h2><table>{most}</table>
<h2>Model</h2><pre>{model}</pre>
</body></html>
"""
