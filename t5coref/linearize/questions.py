"""qa: questions about marked mentions, all of a window answered behind one encoding of it.

For "Anna lost her hat", its mentions marked `<m0> Anna </m> lost <m1> <m2> her </m> hat </m> </s>`
in reading order, the output is one block of three tokens a question, such as

    <fwd> <m2> <m0>     the mention of the same entity next before <m2> is <m0>; <none> = no one
    <bwd> <m0> <m2>     the one next behind it
    <sgl> <m1> <yes>    <m1> is the only mention of its entity; <no> = it is not

and `</s>` at the end. The decoder begins anew with each block (`Rules.answer_length`): it reads
`<pad> <fwd> <m2>` and is scored on the answer alone. Where mentions are not those of the
annotation, one that stands for nothing answers `<null>`.

Each question is asked once in a document: forward in the window that has most mentions before it,
backward in that with most behind it; about standing alone where most are on either side.

Gan, Liang, Lin, Yu, Poesio, "Improving LLMs' Learning of Coreference Resolution" (SIGDIAL 2025):
reversed training. That the answer is the nearest mention, and how it is written, is our choice.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from t5coref.core.document import Annotation, Document, Span
from t5coref.core.errors import ConfigError
from t5coref.core.given_mentions import GOLD, given
from t5coref.core.links import linked, voted
from t5coref.core.rules import DONE, NUMBER, TEXT, Cell, Due, Effect, Rules
from t5coref.core.segment import INSERTED
from t5coref.core.symbols import Inventory
from t5coref.linearize.base import Actions, Answer, PieceEncoder, Turn
from t5coref.linearize.marked import CLOSING, LIMIT, OPENINGS, MentionGiven

FORWARD, BACKWARD, SINGLETON = range(3)
TASKS = ("forward", "backward", "singleton")
TASK_SYMBOLS = ("<fwd>", "<bwd>", "<sgl>")
NONE, YES, NO, NULL = range(4)
ANSWER_SYMBOLS = ("<none>", "<yes>", "<no>", "<null>")
QUERY = "<q>"

BLOCK = 3
"""Tokens of a question with its answer."""

END = 0
"""The action `</s>`; the tasks, the answers without a handle, and the handles follow."""
_ASKED, _ABOUT = NUMBER, NUMBER + 1
NO_QUESTIONS = np.zeros((0, 2), np.int32)


@dataclass(frozen=True, eq=False)
class QuestionTurn(Turn):
    """A window with the questions that it is asked.

    Attributes:
      asked: `int32[Q, 2]` task and handle of each.
      handles: how many mentions are marked.
      proposed: whether some of them may be no mentions.
    """

    asked: np.ndarray = field(default_factory=lambda: NO_QUESTIONS)
    handles: int = 0
    proposed: bool = False


class Asked(NamedTuple):
    """A turn, and which mention of the document each of its handles stands for, `[n]`."""

    turn: QuestionTurn
    mentions: list[int]


class Questionnaire(NamedTuple):
    """All questions of a document.

    Attributes:
      spans: of the mentions that have a handle somewhere, in reading order.
      windows: what is asked where.
    """

    spans: list[Span]
    windows: list[Asked]


class Questions(MentionGiven):
    """Questions about marked mentions; those of a window share its encoding.

    Args:
      tokenizer: with the format's symbols.
      tasks: which questions there are, some of `TASKS`; backward ones train in reverse, and those
        about singletons keep mentions apart.
      candidates: an answer is one of so many mentions next before or behind, or none; None = one
        of all in the window.
      min_mentions: smaller clusters are dropped; with 2 (corpora without singletons), nobody asks
        whether a gold mention stands alone: it never does.
      none_share: of the questions of one direction in a window, at most this share is answered
        `<none>` in examples: further ones are left out at random. For training alone: what is
        evaluated on such examples is told something. None = all.
      alpha: weight of forward evidence in joint inference, see `t5coref.questions.inference`; that
        of backward evidence is 1 - alpha.
      gamma: weight of standing alone there.
      tau: evidence that a link needs there.
      one_to_one: links are a matching there.
      **options: those of `MentionGiven`.

    Raises:
      ConfigError: an option is out of range.
    """

    name = "qa"
    symbols = ("<speaker>", "</speaker>", CLOSING, *TASK_SYMBOLS, *ANSWER_SYMBOLS, QUERY, *OPENINGS)
    in_words: ClassVar[bool] = False
    """Whether answers are texts, which a search has to find."""

    def __init__(
        self,
        tokenizer: PieceEncoder,
        *,
        tasks: Sequence[str] = TASKS,
        candidates: int | None = None,
        min_mentions: int = 1,
        none_share: float | None = None,
        alpha: float = 0.5,
        gamma: float = 0.5,
        tau: float = 0.0,
        one_to_one: bool = False,
        **options: Any,
    ):
        super().__init__(tokenizer, **options)
        wanted = {tasks} if isinstance(tasks, str) else set(tasks)
        if not wanted <= set(TASKS) or not wanted & set(TASKS[:2]):
            raise ConfigError(
                f"tasks {sorted(wanted)}; expected some of {', '.join(TASKS)}, of the first two at "
                "least one"
            )
        reach = LIMIT if candidates is None else candidates
        if reach < 1 or not 0 <= alpha <= 1 or gamma < 0:
            raise ConfigError(
                f"candidates {candidates}, alpha {alpha}, gamma {gamma}; expected None or at least "
                "1, 0 to 1, and at least 0"
            )
        if none_share is not None and not 0 < none_share < 1:
            raise ConfigError(f"none_share is {none_share}; expected None, or between 0 and 1")
        self.tasks = tuple(k for k, name in enumerate(TASKS) if name in wanted)
        self.reach = reach
        self.min_mentions = min_mentions
        self.none_share = none_share
        self.alpha, self.gamma, self.tau, self.one_to_one = alpha, gamma, tau, one_to_one

    def make_rules(self) -> Rules:
        """See `Windows.make_rules`: questions and answers of any kind, in any order."""
        self.max_mentions = min(self.max_mentions, self.max_clusters)  # each may stand alone
        self.look_up_marks(self.max_mentions)
        symbol, end = self.tokenizer.symbol, self.tokenizer.eos_id
        self.task_ids = [symbol(name) for name in TASK_SYMBOLS]
        self.answer_ids = [symbol(name) for name in ANSWER_SYMBOLS]
        self.query = symbol(QUERY)
        self.place_of = {token: place for place, token in enumerate(self.answers)}
        ids = (end, *self.task_ids, *self.answer_ids, *self.openings)
        first = 1 + len(self.task_ids)
        handles = range(first + len(self.answer_ids), len(ids))
        cells = [
            Cell(TEXT, END, DONE),
            *(Cell(TEXT, a, _ASKED, cost=BLOCK) for a in range(1, first)),
            *(Cell(_ASKED, a, _ABOUT) for a in handles),
            *(Cell(_ABOUT, a, TEXT) for a in range(first, len(ids))),
        ]
        return Rules.compile(
            Inventory(ids, tuple(self.tokenizer.piece(t) for t in ids)),
            [Effect.PASSES, *[Effect(0)] * (len(ids) - 1)],
            cells,
            copy=END,
            echoed=True,
            marks=(end,),
            due=Due(piece=0, mark=1),
            twinned=False,
            max_depth=0,
            max_clusters=1,
            answer_length=BLOCK,
        )

    @property
    def answers(self) -> tuple[int, ...]:
        """The ids that may answer a question: handle k, then the rest (`NONE` ... `NULL`)."""
        return (*self.openings, *self.answer_ids)

    def is_mark(self, token: int) -> bool:
        """See `MarkedWindows.is_mark`."""
        return super().is_mark(token) or token == self.query or token in self.task_ids

    def ask(self, doc: Document) -> Questionnaire:
        """The questions of a document.

        Raises:
          MismatchError: it gives no mentions.
        """
        source = given(doc).source
        windows = [window for window in self.marked(doc) if window.spans]
        spans = sorted({s for w in windows for s in w.spans}, key=lambda s: (s[0], -s[1]))
        number = {span: i for i, span in enumerate(spans)}
        tasks = [k for k in self.tasks if k != SINGLETON or self._may_stand_alone(source)]
        best: dict[tuple[int, int], tuple[int, int, int]] = {}
        for w, window in enumerate(windows):
            last = len(window.spans) - 1
            for handle, span in enumerate(window.spans):
                for task in tasks:
                    context = (handle, last - handle, min(handle, last - handle))[task]
                    # Of windows with as much context, the first one that has it.
                    claim = context, -w, handle
                    key = task, number[span]
                    best[key] = max(claim, best.get(key, claim))
        asked: list[list[tuple[int, int]]] = [[] for _ in windows]
        for (task, _), (_, w, handle) in best.items():
            asked[-w].append((task, handle))
        out: list[Asked] = []
        for window, questions in zip(windows, asked, strict=True):
            mentions = [number[span] for span in window.spans]
            for turn in self._turns(window.turn, sorted(questions)):
                turn = replace(
                    turn, index=len(out), handles=len(window.spans), proposed=source != GOLD
                )
                out.append(Asked(turn, mentions))
        return Questionnaire(spans, out)

    def split(self, doc: Document) -> list[Turn]:
        """The windows of a document, with what they are asked."""
        return [window.turn for window in self.ask(doc).windows]

    def turns(self, doc: Document) -> Generator[list[Turn], list[Answer], Annotation]:
        """One turn a window; mentions are joined as the answers vote (`core.links.voted`)."""
        spans, windows = self.ask(doc)
        answers = (yield [w.turn for w in windows]) if windows else []
        links: list[dict[int, int]] = [{}, {}]
        kinds: dict[int, int] = {}
        for window, answer in zip(windows, answers, strict=True):
            mentions = window.mentions
            for task, handle, said in self.read(window.turn, answer.actions):
                if handle < len(mentions) and task == SINGLETON:
                    kinds[mentions[handle]] = said - len(self.openings)
                elif max(handle, said) < len(mentions):
                    links[task][mentions[handle]] = mentions[said]
        forward = {j: i for j, i in links[FORWARD].items() if i < j}
        backward = {i: j for i, j in links[BACKWARD].items() if i < j}
        null = {m for m, kind in kinds.items() if kind == NULL}
        alone = {m for m, kind in kinds.items() if kind == YES}
        found = voted(forward, backward, alone | null)
        return linked(spans, found, min_mentions=self.min_mentions, no_mentions=null)

    def read(self, turn: QuestionTurn, actions: Actions) -> list[tuple[int, int, int]]:
        """Task, handle and the place among `answers` of each answer; any sequence can be read."""
        del turn
        tokens, out, at = actions.tolist(), [], 0
        while at + BLOCK <= len(tokens):
            task, handle, answer = tokens[at : at + BLOCK]
            if task in self.task_ids and handle in self.number_of:
                if answer in self.place_of:
                    place = self.place_of[answer]
                    out.append((self.task_ids.index(task), self.number_of[handle], place))
                at += BLOCK
            else:
                at += 1
        return out

    def oracle(self, turn: Turn, gold: Annotation) -> Actions:
        """The questions of a turn with the gold answers; with `none_share`, some are left out."""
        assert isinstance(turn, QuestionTurn)
        answers = np.asarray(self.answers, np.int32)[self.gold_answers(turn, turn, gold)]
        blocks = np.column_stack([self.prompts(turn), answers])
        if self.none_share is not None:
            blocks = blocks[self._sampled(turn, answers == self.answer_ids[NONE])]
        return np.append(blocks.ravel(), self.tokenizer.eos_id).astype(np.int32)

    def prompts(self, turn: QuestionTurn) -> np.ndarray:
        """`int32[Q, 2]` what the decoder reads of each question behind `<pad>`."""
        tasks, handles = np.asarray(self.task_ids), np.asarray(self.openings)
        asked = turn.asked
        return np.column_stack([tasks[asked[:, 0]], handles[asked[:, 1]]]).astype(np.int32)

    def feeds(self, turn: Turn, actions: Actions) -> np.ndarray:
        """The actions, with `<pad>` for answers: there the next question's output begins."""
        del turn
        feeds = actions.copy()
        feeds[BLOCK - 1 :: BLOCK] = 0
        feeds[-1:] = actions[-1:]
        return feeds

    def legal(self, turn: QuestionTurn) -> np.ndarray:
        """bool `[Q, A]` which of `answers` a question may have."""
        count = len(self.openings)
        task, handle = turn.asked[:, :1], turn.asked[:, 1:]
        other = np.arange(count)[None, :]
        behind = (task == BACKWARD) & (other > handle) & (other < turn.handles)
        near = np.abs(other - handle) <= self.reach
        out = np.zeros((len(turn.asked), count + len(self.answer_ids)), bool)
        out[:, :count] = (((task == FORWARD) & (other < handle)) | behind) & near
        alone = task[:, 0] == SINGLETON
        out[:, count + NONE] = ~alone
        out[:, count + YES] = out[:, count + NO] = alone
        out[:, count + NULL] = alone & turn.proposed & (self.min_mentions < 2)
        return out

    def _sampled(self, turn: QuestionTurn, none: np.ndarray) -> np.ndarray:
        """bool `[Q]` the questions that are kept; always the same ones of a turn."""
        assert self.none_share is not None
        rng = np.random.default_rng(zlib.crc32(f"{turn.doc_id} {turn.index}".encode()))
        kept = np.ones(len(none), bool)
        for task in (FORWARD, BACKWARD):
            of_task = turn.asked[:, 0] == task
            nones = np.flatnonzero(of_task & none)
            # One at least, so that no output is empty.
            others = max(1, int((of_task & ~none).sum()))
            most = max(1, int(self.none_share / (1 - self.none_share) * others))
            kept[rng.permutation(nones)[most:]] = False
        return kept

    def _may_stand_alone(self, source: str) -> bool:
        return self.min_mentions < 2 or source != GOLD

    def _turns(self, turn: Turn, asked: list[tuple[int, int]]) -> Iterable[QuestionTurn]:
        """The turns of a window that is asked something."""
        if asked:
            yield _with_questions(turn, asked)

    def gold_answers(self, turn: QuestionTurn, marked: Turn, gold: Annotation) -> list[int]:
        """The places of the gold answers among `answers`; `marked` is the turn's window."""
        clusters = self.clusters_of(marked, gold)
        return [self._answer(t, h, clusters, gold) for t, h in turn.asked.tolist()]

    def _answer(
        self, task: int, handle: int, clusters: Sequence[int | None], gold: Annotation
    ) -> int:
        mine, others = clusters[handle], len(self.openings)
        if task == SINGLETON:
            if mine is None:
                return others + (YES if self.min_mentions > 1 else NULL)
            return others + (YES if len(gold.clusters[mine]) == 1 else NO)
        step = -1 if task == FORWARD else 1
        if mine is not None:
            for other in range(handle + step, handle + step * (self.reach + 1), step):
                if not 0 <= other < len(clusters):
                    break
                if clusters[other] == mine:
                    return other
        return others + NONE


class Passages(Questions):
    """The same questions, each about a window of its own, which marks the mention.

    The published form, which encodes the window again for each question: the source begins with the
    task, and `<q>` stands before the mention.

    Args:
      tokenizer: with the format's symbols.
      window: pieces of a window, `</s>` included.
      **options: those of `Questions`, without `none_share`.

    Raises:
      ConfigError: `none_share` is given: it compares the questions of one window.
    """

    name = "qa-passage"

    def __init__(self, tokenizer: PieceEncoder, *, window: int = 2048, **options: Any):
        # The task and the mark of the query take two places.
        super().__init__(tokenizer, window=window - 2, **options)
        if self.none_share is not None:
            raise ConfigError("qa-passage asks one question a turn; leave out none_share")

    def _turns(self, turn: Turn, asked: list[tuple[int, int]]) -> Iterable[QuestionTurn]:
        for task, handle in asked:
            place = int(np.flatnonzero(turn.source == self.openings[handle])[0])
            at, tokens = [0, place], [self.task_ids[task], self.query]
            marked = replace(
                turn,
                source=np.insert(turn.source, at, tokens).astype(np.int32),
                word=np.insert(turn.word, at, INSERTED).astype(np.int32),
            )
            yield _with_questions(marked, [(task, handle)])


def _with_questions(turn: Turn, asked: Sequence[tuple[int, int]]) -> QuestionTurn:
    fields: Mapping[str, Any] = vars(turn)
    return QuestionTurn(**fields, asked=np.asarray(asked, np.int32).reshape(-1, 2))
