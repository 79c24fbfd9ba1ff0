"""What of an annotation is scored: mentions ready to be matched, and the entities that count."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from t5coref.core.anaphora import DEPS, Anaphora, Nodes, anaphora, highest, tree
from t5coref.core.document import Document
from t5coref.core.errors import ConfigError
from t5coref.core.mention_matching import EXACT, HEAD, Markable, Match, align
from t5coref.core.split_antecedents import Together


@dataclass(frozen=True, slots=True)
class Scheme:
    """What counts as a mention, and when two of them are the same.

    Attributes:
      match: how mentions match.
      remove_singletons: leave out entities of one mention, on both sides.
      zeros: whether mentions headed by a zero count.
      zeros_by_dependencies: whether those are matched by what they depend on, not by where they
        stand.
      split_antecedents: whether several antecedents together count as a mention.

    Raises:
      ConfigError: split antecedents are to count, but not the singletons that they consist of.
    """

    match: Match = EXACT
    remove_singletons: bool = False
    zeros: bool = True
    zeros_by_dependencies: bool = False
    split_antecedents: bool = False

    def __post_init__(self) -> None:
        if self.split_antecedents and self.remove_singletons:
            raise ConfigError(
                "split antecedents consist of entities that may be singletons; keep the "
                "singletons, or leave split antecedents out"
            )


UNIVERSAL_ANAPHORA = Scheme(zeros=False, split_antecedents=True)
"""Identity in the scorer of Universal Anaphora: singletons and split antecedents, no zeros."""

COREFUD = Scheme(match=HEAD, remove_singletons=True, zeros_by_dependencies=True)
"""The CorefUD scorer since the CRAC shared task of 2024."""


@dataclass(slots=True)
class Side:
    """One annotation of a document.

    Attributes:
      found: what the annotation says.
      markables: `[m]` each of its mentions.
      clusters: mentions, by their positions, of each entity that counts.
      together: for each of those clusters the entities that its split antecedent consists of.
    """

    found: Anaphora
    markables: tuple[Markable, ...]
    clusters: list[list[int]] = field(default_factory=list)
    together: list[frozenset[int] | None] = field(default_factory=list)

    def scored(self) -> list[Markable]:
        """The mentions of the clusters that count."""
        return [self.markables[i] for i in itertools.chain.from_iterable(self.clusters)]


def sides(key: Document, response: Document | None, scheme: Scheme) -> tuple[Side, Side]:
    """Both annotations of a document; None is a response without clusters.

    Heads that a response lacks come from the key's tree, if the key has heads of its own. Where
    neither says anything, the first node is the head.

    Raises:
      DocumentError: `extra` has the anaphora of either in another form.
    """
    keys = anaphora(key)
    responses = Anaphora() if response is None else anaphora(response)
    own, its = (any(m.head is not None for m in found.mentions) for found in (keys, responses))
    depths = tree(key) if own and not its else None
    both = (
        Side(keys, _markables(key, keys, scheme, None)),
        Side(responses, _markables(response or key, responses, scheme, depths)),
    )
    for side in both:
        _select(side, scheme)
    return both


def name_mentions(
    key: Side, response: Side, scheme: Scheme
) -> tuple[list[Hashable], list[Hashable]]:
    """A name for every mention, equal on both sides where two are the same mention."""
    same = scheme.match.same
    keys, responses = ([same(m) for m in side.markables] for side in (key, response))
    of_response = align(
        key.scored(),
        response.scored(),
        scheme.match,
        zeros_by_dependencies=scheme.zeros_by_dependencies,
    )
    scored = {keys[i] for cluster in key.clusters for i in cluster}
    numbers: dict[Hashable, int] = {}

    def number(name: Hashable) -> int:
        return numbers.setdefault(name, len(numbers))

    def of(name: Hashable) -> Hashable:
        if name in of_response:
            return of_response[name]
        return ("response", name) if name in scored else name

    return [number(name) for name in keys], [number(of(name)) for name in responses]


def partition(
    side: Side, names: Sequence[Hashable]
) -> tuple[list[list[Hashable]], list[Together | None]]:
    """Clusters that share no mention, and the split antecedent of each."""
    own: dict[int, set[Hashable]] = {}
    for i, mention in enumerate(side.found.mentions):
        own.setdefault(mention.entity, set()).add(names[i])
    taken: set[Hashable] = set()
    kept: list[list[Hashable]] = []
    together: list[Together | None] = []
    for cluster, atoms in zip(side.clusters, side.together, strict=True):
        new = [n for n in dict.fromkeys(names[i] for i in cluster) if n not in taken]
        taken.update(new)
        if not new:
            continue
        kept.append(new)
        together.append(
            None if atoms is None else frozenset(frozenset(own[atom]) for atom in atoms)
        )
    return kept, together


def _markables(
    document: Document, found: Anaphora, scheme: Scheme, depths: Sequence[int] | None
) -> tuple[Markable, ...]:
    nodes = Nodes(document.sentences, found.zeros)
    word_nodes = [n for n in range(len(nodes)) if nodes.is_word(n)]
    zeros = [n for n in range(len(nodes)) if not nodes.is_word(n)]
    of_node = dict(zip(zeros, found.zeros, strict=True))
    out = []
    for mention in found.mentions:
        head = mention.head
        if head is None and depths is not None and (runs := nodes.runs(mention)):
            words = [highest(run, depths) for run in runs]
            head = word_nodes[min(words, key=lambda word: (depths[word], word))]
        first = mention.parts[0][0] if head is None else head
        if head is None and (scheme.match.by_head or found.fields):
            head = first
        if mention.minimum is not None and not scheme.match.by_head:
            core = {nodes.places[word_nodes[word]] for word in range(*mention.minimum)}
        else:
            core = set() if head is None else {nodes.places[head]}
        zero = of_node.get(first)
        own = [n for start, end in mention.parts for n in range(start, end)]
        if not found.fields:  # zeros between words are part of a mention in CorefUD alone
            own = [n for n in own if nodes.is_word(n)] or own
        out.append(
            Markable(
                places=frozenset(nodes.places[n] for n in own),
                core=frozenset(core),
                zero=zero is not None,
                sentence=-1 if zero is None else zero.sentence,
                dependencies=frozenset() if zero is None else _dependencies(zero.cells[DEPS]),
            )
        )
    return tuple(out)


def _select(side: Side, scheme: Scheme) -> None:
    """Fills in the clusters that count, without repeated mentions, and split antecedents."""
    same = scheme.match.same
    own: list[dict[Hashable, int]] = [{} for _ in side.found.entities]
    for i, mention in enumerate(side.found.mentions):
        own[mention.entity].setdefault(same(side.markables[i]), i)
    members: dict[int, list[int]] = {}
    for link in side.found.split:
        if own[link.antecedent] and scheme.split_antecedents:
            members.setdefault(link.anaphor, []).append(link.antecedent)
    merged: dict[frozenset[frozenset[Hashable]], int] = {}
    for number, entity in enumerate(side.found.entities):
        if not entity.referring or not own[number]:
            continue
        cluster = list(own[number].values())
        if scheme.remove_singletons and len(cluster) == 1:
            continue
        if not scheme.zeros:
            cluster = [i for i in cluster if not side.markables[i].zero]
        if not cluster:
            continue
        atoms = _atoms(number, members)
        if atoms:
            antecedent = frozenset(frozenset(own[atom]) for atom in atoms)
            if antecedent in merged:  # two names of the same several entities
                side.clusters[merged[antecedent]] += cluster
                continue
            merged[antecedent] = len(side.clusters)
        side.clusters.append(cluster)
        side.together.append(atoms or None)


def _atoms(number: int, members: dict[int, list[int]]) -> frozenset[int]:
    """The entities that an entity's antecedent is made of, none of which is made of others."""
    found: set[int] = set()
    seen = {number}
    queue = list(members.get(number, ()))
    while queue:
        entity = queue.pop()
        if entity in seen:
            continue
        seen.add(entity)
        if entity in members:
            queue += members[entity]
        else:
            found.add(entity)
    return frozenset(found)


def _dependencies(cell: str) -> frozenset[tuple[str, str]]:
    """Parents and relations out of a cell such as `15:nsubj|5.1:conj:and`."""
    pairs = (item.partition(":") for item in cell.split("|") if item not in ("", "_"))
    return frozenset((parent, relation) for parent, _, relation in pairs)
