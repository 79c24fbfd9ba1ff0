"""What every page of ours is made of: a template, a style, and a policy that allows one script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources

from t5coref.view.markup import tag


def asset(package: str, name: str) -> str:
    """A file that lies beside the code."""
    return resources.files(package).joinpath(name).read_text("utf-8")


def policy(script: str) -> str:
    """The element that allows this script and no other, styles, and no request of any kind."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return tag("meta", http_equiv="Content-Security-Policy", content=allowed)


def filled(template: str, parts: Mapping[str, str]) -> str:
    """The template with its `{{names}}` replaced in one pass: what is put in is not read again."""
    out = []
    for piece in template.split("{{"):
        name, closed, after = piece.partition("}}")
        out += [parts[name], after] if closed else [piece]
    return "".join(out)
