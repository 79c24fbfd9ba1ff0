"""Constrained decoding under `jit`: the rules as arrays, and the search that obeys them."""
