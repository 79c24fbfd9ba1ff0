"""HTML as a tree, read strictly: every element must be closed where its parent still is open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "input", "br", "hr", "img"}


@dataclass(eq=False)
class Node:
    tag: str
    attributes: dict[str, str | None]
    children: list[Node | str] = field(default_factory=list)

    @property
    def classes(self) -> set[str]:
        return set((self.attributes.get("class") or "").split())

    @property
    def text(self) -> str:
        return "".join(c if isinstance(c, str) else c.text for c in self.children)

    def walk(self) -> Iterator[Node]:
        yield self
        for child in self.children:
            if isinstance(child, Node):
                yield from child.walk()

    def all(self, tag: str | None = None, *classes: str, **attributes: object) -> list[Node]:
        """Descendants by tag, classes and attributes (`data_e=3` for `data-e="3"`)."""
        wanted = {key.replace("_", "-"): str(value) for key, value in attributes.items()}
        return [
            node
            for node in self.walk()
            if tag in (None, node.tag)
            and node.classes >= set(classes)
            and all(node.attributes.get(key) == value for key, value in wanted.items())
        ]

    def one(self, tag: str | None = None, *classes: str, **attributes: object) -> Node:
        (node,) = self.all(tag, *classes, **attributes)
        return node


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.stack = [Node("document", {})]

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice: {names}"
        node = Node(tag, dict(attrs))
        self.stack[-1].children.append(node)
        if tag not in VOID:
            self.stack.append(node)

    def handle_endtag(self, tag):
        assert self.stack[-1].tag == tag, f"</{tag}> inside <{self.stack[-1].tag}>"
        self.stack.pop()

    def handle_data(self, data):
        self.stack[-1].children.append(data)

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data!r}")

    def unknown_decl(self, data):
        raise AssertionError(f"a declaration: {data!r}")

    def handle_pi(self, data):
        raise AssertionError(f"a processing instruction: {data!r}")


def parsed(html: str) -> Node:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert len(reader.stack) == 1, f"never closed: {[n.tag for n in reader.stack[1:]]}"
    return reader.stack[0]


def pieces(text: Node) -> tuple[str, dict[str, list[tuple[int, int]]]]:
    """The content of a text, and for each `data-m` the character ranges of its elements."""
    parts: list[str] = []
    ranges: dict[str, list[tuple[int, int]]] = {}

    def walk(node: Node, start: int) -> int:
        end = start
        for child in node.children:
            if isinstance(child, str):
                parts.append(child)
                end += len(child)
            else:
                end = walk(child, end)
        if node.tag == "mark":
            number = node.attributes["data-m"]
            assert number is not None
            ranges.setdefault(number, []).append((start, end))
        return end

    walk(text, 0)
    return "".join(parts), ranges
