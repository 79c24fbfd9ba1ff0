"""The part that needs numpy and scipy only: documents, automata, segments, metrics."""
