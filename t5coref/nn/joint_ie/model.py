"""The parts put together: losses and predictions from the states of any encoder.

B documents, T pieces, d encoder width, N candidates, G gold mentions, D width of a mention vector,
C classes, M rows for relations.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from t5coref.nn.joint_ie import gold, losses
from t5coref.nn.joint_ie.compatibility import GraphCompatibility
from t5coref.nn.joint_ie.coreference import BilinearCoreference, antecedent_scores
from t5coref.nn.joint_ie.decisions import decide_relations, link, number_clusters
from t5coref.nn.joint_ie.mentions import MentionDetector
from t5coref.nn.joint_ie.propagation import GraphPropagation
from t5coref.nn.joint_ie.relations import EntityRelations, MentionRelations
from t5coref.nn.joint_ie.spans import (
    Boundaries,
    Candidates,
    Features,
    SpanRepresentation,
    given_mentions,
)


class Scores(NamedTuple):
    """What the heads say about candidates; None where a composition does not say it.

    Attributes:
      mentions: `[B, N, D]`, their vectors.
      mention: `[B, N]`, how much each is a mention.
      relation: `[B, N, C, N]`, head, class, tail.
      distance: `[B, N, N]`, see `GraphCompatibility`.
      antecedent: `[B, N, N + 1]`, see `antecedent_scores`.
    """

    mentions: jax.Array
    mention: jax.Array | None
    relation: jax.Array | None
    distance: jax.Array | None
    antecedent: jax.Array | None


class Prediction(NamedTuple):
    """Clusters and relations of a batch.

    Attributes:
      start: int32 `[B, N]`, the first piece of each candidate.
      end: int32 `[B, N]`, the last one.
      valid: bool `[B, N]`, False where padded.
      cluster: int32 `[B, N]`, the number of its cluster by first appearance; -1 = not a mention.
      mention_score: float32 `[B, N]`; 0 where there is no detector.
      relations: int32 `[B, M, 3]`, head cluster, tail cluster, type from 1 on; -1 where padded. The
        best come first.
      relation_score: float32 `[B, M]`, the margin over the threshold; 0 where padded.
    """

    start: jax.Array
    end: jax.Array
    valid: jax.Array
    cluster: jax.Array
    mention_score: jax.Array
    relations: jax.Array
    relation_score: jax.Array


class JointIE(nn.Module):
    """Mentions, coreference and relations as one composition of parts (Xu and Choi 2022).

    Attributes:
      spans: makes mention vectors of encoder states.
      mentions: finds candidates; None = mentions are always given.
      coreference: None, with `mentions`: clusters are always given.
      relations: between entities or between mentions; None = coreference alone.
      propagation: +GP; needs relations between mentions.
      compatibility: +GC; needs relations between mentions.
      antecedent_weight: of the loss of that name in the sum, as are the next three.
      mention_weight: see above.
      relation_weight: see above.
      contrastive_weight: see above.
      average_candidates: the losses `antecedent` and `mention` of a document are means over its
        candidates; otherwise sums.
      max_relations: M, so many relations of a document are predicted at most.

    Raises:
      ValueError: the parts do not make a composition.
    """

    spans: SpanRepresentation
    mentions: MentionDetector | None = None
    coreference: BilinearCoreference | None = None
    relations: EntityRelations | MentionRelations | None = None
    propagation: GraphPropagation | None = None
    compatibility: GraphCompatibility | None = None
    antecedent_weight: float = 1.0
    mention_weight: float = 1.0
    relation_weight: float = 1.0
    contrastive_weight: float = 1.0
    average_candidates: bool = False
    max_relations: int = 512

    def __post_init__(self) -> None:
        if (self.mentions is None) != (self.coreference is None):
            raise ValueError("expected both or none of mentions and coreference, got one of them")
        if self.coreference is None and self.relations is None:
            raise ValueError("expected coreference, relations or both, got neither; nothing to do")
        graph = [p for p in (self.propagation, self.compatibility) if p is not None]
        if len(graph) > 1:
            raise ValueError(
                "expected propagation or compatibility, got both; they are settings of their own"
            )
        if graph and (self.coreference is None or not isinstance(self.relations, MentionRelations)):
            raise ValueError(
                f"{type(graph[0]).__name__} leads relation scores of mentions to coreference; "
                "expected coreference and MentionRelations beside it"
            )
        super().__post_init__()

    def __call__(
        self, encoded: jax.Array, features: Features, *, deterministic: bool
    ) -> dict[str, jax.Array]:
        """The losses of a batch, each a mean over its documents.

        Args:
          encoded: `[B, T, d]`, of any float type.
          features: all arrays of the package's docstring.
          deterministic: without dropout; otherwise the rng "dropout" is needed.

        Returns:
          float32[] by name: `antecedent`, `mention`, `relation`, `contrastive`, as far as the
          composition has them, and their weighted sum `loss`. Rows without a piece do not count.
        """
        boundaries = self.spans(encoded)
        if self.mentions is None:
            candidates = given_mentions(features)
        else:
            candidates = self.mentions.propose(boundaries, features, gold=True)
        scores = self.scores(boundaries, candidates, deterministic=deterministic)
        found = self._coreference_losses(scores, candidates)
        if isinstance(self.relations, EntityRelations):
            found["relation"] = self._entity_loss(boundaries, features, deterministic)
        elif scores.relation is not None:
            found["relation"] = self._pair_loss(scores.relation, candidates, features)
        real = jnp.any(features["encoder_input_tokens"] > 0, axis=1)
        means = {name: losses.masked_mean(values, real) for name, values in found.items()}
        weights = {
            "antecedent": self.antecedent_weight,
            "mention": self.mention_weight,
            "relation": self.relation_weight,
            "contrastive": self.contrastive_weight,
        }
        terms = [weights[name] * mean for name, mean in means.items()]
        return means | {"loss": jnp.sum(jnp.stack(terms))}

    def predict(
        self, encoded: jax.Array, features: Features, *, gold_mentions: bool, gold_clusters: bool
    ) -> Prediction:
        """Clusters and relations, without dropout.

        Args:
          encoded: `[B, T, d]`, of any float type.
          features: tokens, sentences and words; mentions if they are given.
          gold_mentions: candidates are the mentions of the features, N = G, and all of them are
            mentions; whoever made them (gold ones: Xu and Choi 2022, table 2).
          gold_clusters: so are their clusters.

        Raises:
          ValueError: something is neither given nor can be predicted, or clusters are given without
            mentions.
        """
        if gold_clusters and not gold_mentions:
            raise ValueError("expected gold_mentions with gold_clusters; set both")
        if self.coreference is None and not gold_clusters:
            raise ValueError(
                "this composition predicts relations of given clusters; set gold_mentions and "
                "gold_clusters"
            )
        boundaries = self.spans(encoded)
        if gold_mentions or self.mentions is None:
            candidates = given_mentions(features)
        else:
            candidates = self.mentions.propose(boundaries, features, gold=False)
        scores = self.scores(
            boundaries, candidates, deterministic=True, linked=not gold_clusters, every_pair=False
        )
        if scores.antecedent is None or scores.mention is None:
            cluster = jax.vmap(number_clusters)(candidates.cluster, candidates.valid)
        else:
            cluster = jax.vmap(lambda *row: link(*row, all_mentions=gold_mentions))(
                scores.antecedent, scores.mention, candidates.valid
            )
        mention = scores.mention
        return Prediction(
            candidates.start,
            candidates.end,
            candidates.valid,
            cluster,
            jnp.zeros(cluster.shape, jnp.float32) if mention is None else mention,
            *self._decide(scores.mentions, cluster),
        )

    def scores(
        self,
        boundaries: Boundaries,
        candidates: Candidates,
        *,
        deterministic: bool,
        linked: bool = True,
        every_pair: bool = True,
    ) -> Scores:
        """Everything that is said about candidates `[B, N]`.

        Args:
          boundaries: `[B, T, D]`.
          candidates: `[B, N]`.
          deterministic: without dropout.
          linked: score antecedents.
          every_pair: score relations of all pairs of mentions, also where coreference does not look
            at them.
        """
        vectors, valid = boundaries.of(candidates), candidates.valid
        graph = self.propagation is not None or self.compatibility is not None
        relation = distance = antecedent = mention = None
        if isinstance(self.relations, MentionRelations) and (every_pair or (linked and graph)):
            relation = self.relations(vectors, deterministic=deterministic)
        updated = vectors
        if linked and relation is not None and self.propagation is not None:
            updated = self.propagation(vectors, relation[:, :, 1:], valid)
        if self.mentions is not None:
            rescored = self.propagation is not None and self.propagation.rescore_mentions
            mention = self.mentions(
                updated if rescored else vectors, candidates, deterministic=deterministic
            )
        if linked and self.coreference is not None and mention is not None:
            similarity = self.coreference(updated, deterministic=deterministic)
            if relation is not None and self.compatibility is not None:
                distance = self.compatibility(relation, valid)
                similarity = similarity - self.compatibility.weight * distance
            choose = functools.partial(
                antecedent_scores, max_antecedents=self.coreference.max_antecedents
            )
            antecedent = jax.vmap(choose)(similarity, mention, valid)
        return Scores(vectors, mention, relation, distance, antecedent)

    def _coreference_losses(self, scores: Scores, candidates: Candidates) -> dict[str, jax.Array]:
        """The losses `[B]` of mentions, antecedents and distances."""
        found = {}
        row = (candidates.cluster, candidates.valid)
        if scores.antecedent is not None and scores.mention is not None:
            found["antecedent"] = jax.vmap(losses.antecedent_loss)(scores.antecedent, *row)
            found["mention"] = jax.vmap(losses.mention_loss)(scores.mention, *row)
        if self.average_candidates:
            count = jnp.maximum(jnp.sum(candidates.valid, axis=1), 1).astype(jnp.float32)
            found = {name: values / count for name, values in found.items()}
        if scores.distance is not None and self.compatibility is not None:
            contrast = functools.partial(
                losses.contrastive_loss,
                margin=self.compatibility.margin,
                all_pairs=self.compatibility.all_pairs,
            )
            found["contrastive"] = jax.vmap(contrast)(scores.distance, *row)
        return found

    def _pair_loss(
        self, scores: jax.Array, candidates: Candidates, features: Features
    ) -> jax.Array:
        """The relation loss `[B]` over pairs of candidates."""
        relations = self.relations
        assert isinstance(relations, MentionRelations)

        def loss(scores, cluster, valid, *known):
            table = gold.relation_table(*known, classes=scores.shape[1])
            labels = gold.relation_labels(table, gold.entity_slots(cluster, known[0]))
            return losses.pair_loss(
                scores,
                labels,
                cluster,
                valid,
                gold_pairs_only=relations.gold_pairs_only,
                per_gold_pair=relations.per_gold_pair,
            )

        return jax.vmap(loss)(scores, candidates.cluster, candidates.valid, *_known(features))

    def _entity_loss(
        self, boundaries: Boundaries, features: Features, deterministic: bool
    ) -> jax.Array:
        """The relation loss `[B]` over pairs of gold entities."""
        assert isinstance(self.relations, EntityRelations)
        given = given_mentions(features)
        size = given.cluster.shape[1]
        slots = jax.vmap(gold.entity_slots)(given.cluster, features["mention_cluster"])
        slots = jnp.where(given.valid, slots, -1)
        logits = self.relations.entity_scores(
            boundaries.of(given), slots, deterministic=deterministic
        )

        def loss(logits, slots, *known):
            table = gold.relation_table(*known, classes=logits.shape[1])
            there = jnp.any(slots[None, :] == jnp.arange(size)[:, None], axis=1)
            pairs = there[:, None] & there[None, :] & ~np.eye(size, dtype=bool)
            each = losses.adaptive_threshold_loss(logits, table[:size, :, :size])
            return losses.masked_mean(each, pairs)

        return jax.vmap(loss)(logits, slots, *_known(features))

    def _decide(self, mentions: jax.Array, cluster: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Relations `[B, M, 3]` of predicted or given clusters, and their margins `[B, M]`."""
        if self.relations is None:
            shape = (cluster.shape[0], self.max_relations)
            return jnp.full((*shape, 3), -1, jnp.int32), jnp.zeros(shape, jnp.float32)
        decide = functools.partial(
            decide_relations, max_labels=self.relations.max_labels, rows=self.max_relations
        )
        return jax.vmap(decide)(self.relations.entity_scores(mentions, cluster), cluster)


def _known(features: Features) -> tuple[jax.Array, ...]:
    """The clusters of gold mentions, and gold relations."""
    names = ("mention_cluster", "relation_head", "relation_tail", "relation_type")
    return tuple(features[name] for name in names)
