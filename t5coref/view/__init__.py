"""Looking at annotated documents: one page that needs nothing but a browser.

    page([plain(document), ...])                 text, entities and relations
    page([compared(predicted, gold), ...])       what is right, missed and extra

The page is complete without its script, which adds following chains, choosing documents and
filters. It asks for nothing over the network, and nothing of a document can become a part of it:
text is escaped, and a policy in its head allows the one script that it came with.
"""

from t5coref.view.model import Entity, Fact, Mark, Status, View, compared, plain
from t5coref.view.names import representative
from t5coref.view.page import page

__all__ = [
    "Entity",
    "Fact",
    "Mark",
    "Status",
    "View",
    "compared",
    "page",
    "plain",
    "representative",
]
