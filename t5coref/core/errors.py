"""What can go wrong, as few classes as a caller would want to tell apart.

Every message says what was expected, what was found and how to mend it.
"""


class T5CorefError(Exception):
    """Base class of all errors that this library raises on purpose."""


class DocumentError(T5CorefError, ValueError):
    """A document breaks an invariant (a span outside the text, sentences that overlap, ...)."""


class FormatError(T5CorefError, ValueError):
    """A file does not follow its format; the message names the file and the line."""


class ConfigError(T5CorefError, ValueError):
    """Settings contradict each other or the data (budget too small, unknown format name, ...)."""


class MismatchError(T5CorefError, ValueError):
    """Two artefacts do not belong together (tokenizer fingerprint, symbols, versions, ...)."""
