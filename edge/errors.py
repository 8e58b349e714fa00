"""Errors of the node. Each message is one line: what was given, what was expected, how to mend it."""


class EdgeError(Exception):
    """Base of every error that `edge` raises on bad input."""


class ConfigError(EdgeError):
    """A configuration that cannot be used as it stands."""


class SourceError(EdgeError):
    """A microphone, a file or a stream that gives no usable sound."""


class BrokerError(EdgeError):
    """A broker that cannot be reached, or that refuses us."""


class ClipError(EdgeError):
    """A clip, or a key of clips, that cannot be used."""


class PageError(EdgeError):
    """The live page cannot be copied or served."""
