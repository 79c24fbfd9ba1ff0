"""The library from Python: a model behind one method, and what it finds as objects.

`t5coref` itself has the public names; docs/python.md says how to use them. `spacy_component.py` is
the component of spaCy pipelines. Predictions, resolved text and tables need no jax.
"""
