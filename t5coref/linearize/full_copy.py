"""full-copy: the whole source is copied, mentions are bracketed, clusters are numbered.

Zhang, Wiseman, Stratos, "Seq2seq is All You Need for Coreference Resolution" (EMNLP 2023), the
integer format with the copy action: `<m> <copy> <copy> | 0 </m> <copy> <m> <copy> | 0 </m> <copy>`
for "the dog saw it". The last copy is that of `</s>`.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from t5coref.core import automaton
from t5coref.core.automaton import CLOSE, COPY, NUMBER, OPEN, OPENED, SEPARATE, SPELL, TEXT
from t5coref.core.document import Annotation, Document
from t5coref.core.errors import ConfigError
from t5coref.core.segment import check_window, merge, windows
from t5coref.core.symbols import Inventory, NumberTrie
from t5coref.linearize import mentions as m
from t5coref.linearize.base import Actions, PieceEncoder, Turn

SEPARATOR = "|"


def full_copy_rules(tokenizer: PieceEncoder, max_clusters: int, max_depth: int) -> automaton.Rules:
    """The strict constraint as a table.

    Modes: in the text, just after an opening tag, done, and one per node of the number trie.
    """
    trie = NumberTrie.build([tokenizer.encode(str(k)) for k in range(max_clusters)])
    (separator,) = tokenizer.encode(SEPARATOR)[-1:]
    tags = (
        tokenizer.symbol("<copy>"),
        tokenizer.symbol("<m>"),
        separator,
        tokenizer.symbol("</m>"),
    )
    ids = (*tags, *trie.pieces)
    if len(set(ids)) < len(ids):
        raise ConfigError(
            "the separator or a tag is also a piece of a number; the tokenizer must spell "
            f"{SEPARATOR!r} and the numbers with different pieces"
        )
    kinds = (COPY, OPEN, SEPARATE, CLOSE)
    copy, open_, separate, close = range(4)
    spell = np.arange(4, len(ids))
    nodes = len(trie.number)
    next_mode = np.full((NUMBER + nodes, len(ids)), -1, np.int32)
    slack_cost = np.zeros_like(next_mode)

    next_mode[[TEXT, OPENED], copy] = TEXT
    next_mode[[TEXT, OPENED], open_] = OPENED
    # An opening tag obliges to write itself, the separator, a number and the closing tag.
    twin_pledge = trie.longest - trie.shortest
    slack_cost[TEXT, open_] = 3 + trie.shortest
    slack_cost[OPENED, open_] = 3 + trie.shortest + twin_pledge
    next_mode[TEXT, separate] = NUMBER
    rest = trie.finish.copy()
    rest[0] = trie.shortest
    next_mode[NUMBER:, spell] = np.where(trie.child >= 0, NUMBER + trie.child, -1)
    slack_cost[NUMBER:, spell] = np.where(trie.child >= 0, 1 + rest[trie.child] - rest[:, None], 0)
    next_mode[NUMBER:, close] = np.where(trie.number >= 0, TEXT, -1)

    no_number = np.full(NUMBER, -1, np.int32)
    nothing_below = np.full((NUMBER, max_clusters + 1), max_clusters, np.int32)
    return automaton.Rules(
        inventory=Inventory(ids, tuple(tokenizer.piece(t) for t in ids)),
        kind=np.asarray([*kinds, *([SPELL] * len(spell))], np.int8),
        next_mode=next_mode,
        slack_cost=slack_cost,
        number=np.concatenate([no_number, trie.number]),
        at_least=np.concatenate([nothing_below, trie.at_least]),
        max_depth=max_depth,
        max_clusters=max_clusters,
        first_pledge=trie.first - trie.shortest,
        twin_pledge=twin_pledge,
    )


class FullCopy:
    """The full linearization with copy actions and integer clusters.

    Args:
      tokenizer: with the integer symbols.
      window: pieces of a window, `</s>` included.
      stride: largest distance between the starts of windows; None = half a window.
      suffixes: also make the shorter and shorter windows at the end of a document that the
        published training data has.
      min_mentions: smaller clusters are dropped on reading back (2 where a corpus has no
        singletons).
      max_clusters: cluster numbers of a window.
      max_depth: mentions open at once.

    Raises:
      ConfigError: numbers that leave no room, or symbols that the tokenizer lacks.
    """

    name = "full-copy"

    def __init__(
        self,
        tokenizer: PieceEncoder,
        *,
        window: int = 2048,
        stride: int | None = None,
        suffixes: bool = False,
        min_mentions: int = 1,
        max_clusters: int = 500,
        max_depth: int = 16,
    ):
        self.tokenizer = tokenizer
        self.window = window
        self.stride = max(1, window // 2) if stride is None else stride
        check_window(self.window, self.stride)
        self.suffixes = suffixes
        self.min_mentions = min_mentions
        self.rules = full_copy_rules(tokenizer, max_clusters, max_depth)
        self._copy, self._open, self._separator, self._close = self.rules.inventory.ids[:4]
        self._spelling = [tuple(tokenizer.encode(str(k))) for k in range(max_clusters)]
        self._number = {spelling: k for k, spelling in enumerate(self._spelling)}

    def turns(self, doc: Document) -> Generator[list[Turn], list[Actions], Annotation]:
        """One turn a window; the clusters of the windows are merged over shared spans."""
        pieces = self.tokenizer.pieces(doc).clipped(min(self.window - 1, self.stride))
        spans = windows(pieces, self.window, self.stride, suffixes=self.suffixes)
        turns = m.window_turns(doc.doc_id, pieces, spans, self.tokenizer.eos_id)
        if not turns:
            return Annotation()
        answers = yield turns
        parts = [self.read_back(t, a) for t, a in zip(turns, answers, strict=True)]
        return merge(parts, self.min_mentions)

    def oracle(self, turn: Turn, gold: Annotation) -> Actions:
        """The gold actions; crossing, too deep and too many mentions are left out."""
        held = m.nested(m.in_window(turn, gold), self.rules.max_depth)
        closings = m.numbered(held, self.rules.max_clusters)
        length = len(turn.source)
        opening: list[int] = [0] * length
        closing: list[list[int]] = [[] for _ in range(length)]
        for mention, number in closings:
            opening[mention.start] += 1
            closing[mention.end] += [self._separator, *self._spelling[number], self._close]
        out: list[int] = []
        for position in range(length):
            out += closing[position]
            out += [self._open] * opening[position]
            out.append(self._copy)
        return np.asarray(out, np.int32)

    def feeds(self, turn: Turn, actions: Actions) -> np.ndarray:
        """The source piece instead of each copy action, everything else as it is."""
        feeds = np.array(actions, np.int32)
        copied = np.flatnonzero(feeds == self._copy)
        feeds[copied] = turn.source[np.arange(len(copied))]
        return feeds

    def read_back(self, turn: Turn, actions: Actions) -> list[list[tuple[int, int]]]:
        """Clusters of word spans that the actions of one window stand for.

        Any sequence can be read: copies are counted, a mention without a number, without text or
        without its closing tag is dropped, and what follows the copy of `</s>` is not read.
        """
        position, opened, found = 0, [], []
        number: tuple[int, ...] | None = None
        for token in actions.tolist():
            if token == self._copy:
                position, number = position + 1, None
                if position == len(turn.source):
                    break
            elif token == self._open:
                opened.append(position)
                number = None
            elif token == self._separator:
                number = ()
            elif token == self._close:
                cluster = self._number.get(number) if number is not None else None
                if opened:
                    start = opened.pop()
                    if cluster is not None and start < position:
                        found.append(m.Mention(start, position, cluster))
                number = None
            elif number is not None:
                number = (*number, token)
        return m.word_clusters(turn, found)
