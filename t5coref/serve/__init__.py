"""A model behind HTTP: requests in, documents of many requests in one batch, answers out.

`batcher` owns the model and knows nothing of the web, `messages` is what clients send and get,
`app` joins them, `server` runs it all until it is told to stop. `app`, `metrics` and `server` need
the packages of `pip install "t5coref[serve]"`.
"""
