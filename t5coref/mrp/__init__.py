"""Mention reference prediction: a pre-training task that teaches an encoder to corefer.

From Ye et al. 2020, carried to T5: nouns that occur again in a sequence are masked, and the encoder
learns to point from the masked one to the others. `docs/mrp.md` says how to build a corpus and how
to learn from it.
"""
