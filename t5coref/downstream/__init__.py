"""Tasks that a T5 is fine-tuned or probed on: questions, pronouns, pairs of texts.

`text` (examples, pieces), `model` (a T5 without a linearization), `predict` (writing, scoring given
texts) and `objective` (training) are shared; each data set has its reader, each family of them its
metrics. Nothing is imported here, so that readers and metrics need no jax.
"""
