"""Text as HTML that reads back as that text and as nothing else."""

from __future__ import annotations

import html
import re

_UNWRITABLE = re.compile("[\x00\ud800-\udfff]")


def escaped(text: str) -> str:
    r"""Text for element content or a quoted attribute.

    A carriage return is written as a reference, since parsers make a line feed of it. What HTML
    in UTF-8 cannot hold at all, a NUL or half of a surrogate pair, becomes U+FFFD.
    """
    return html.escape(_UNWRITABLE.sub("\ufffd", text)).replace("\r", "&#13;")


def tag(name: str, **attributes: object) -> str:
    """A start tag: None leaves an attribute out, `class_` is `class`, `data_e` is `data-e`."""
    values = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{values}>"


def element(name: str, content: str = "", **attributes: object) -> str:
    """An element around content that is HTML already."""
    return f"{tag(name, **attributes)}{content}</{name}>"


def hued(hue: int | None) -> str | None:
    """The `style` of what wears an entity's colour."""
    return None if hue is None else f"--h:{hue}"


def counted(n: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"
