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


def complaint(error: object) -> str:
    """The line on stderr that tells of an error."""
    return "soundclr-edge: %s\n" % one_line(error)


def one_line(text: object) -> str:
    """The same without line breaks and what else a terminal would obey: a file's name may hold any of it."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in str(text)
    )
