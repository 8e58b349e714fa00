"""Why there is no connection to the broker, in words that a person can act on."""

import socket
import ssl
from typing import NamedTuple, Tuple, Type

from edge.config import MqttConfig
from edge.errors import BrokerError

_NO_WORDS = "the broker refused with reason code %d"
_REFUSALS = {  # MQTT 3.1.1's return codes, and what paho 2 makes of them
    1: "it does not speak MQTT 3.1.1",
    132: "it does not speak MQTT 3.1.1",
    2: "it does not take the client id",
    133: "it does not take the client id",
    3: "it is unavailable",
    136: "it is unavailable",
    4: "bad user name or password",
    134: "bad user name or password",
    5: "not authorised",
    135: "not authorised",
}
_UNAVAILABLE = (3, 136)


class NoConnectionError(BrokerError):
    """No connection, or none any more.

    Args:
        detail: what happened.
        mend: what a person can do about it.
    """

    state = "lost"

    def __init__(self, detail: str, mend: str) -> None:
        super().__init__("%s; %s" % (detail, mend))
        self.detail, self.mend = detail, mend


class UnreachableError(NoConnectionError):
    """Nobody answers, or not in MQTT."""

    state = "unreachable"


class RefusedError(NoConnectionError):
    """The broker does not want us; trying again soon does not help."""

    state = "refused"


class TlsError(NoConnectionError):
    """The encrypted channel could not be made."""

    state = "tls_failed"


def address_of(config: MqttConfig) -> str:
    """HOST:PORT."""
    return "%s:%d" % (config.host, config.port)


def account_of(config: MqttConfig) -> str:
    """Whom the broker takes us for, as far as the configuration says."""
    if config.username_file:
        return "the user in %s" % config.username_file
    if config.username:
        return "user %r" % config.username
    return "the user of certificate_file" if config.certificate_file else "nobody in particular (no username)"


def refusal_from(code: int, config: MqttConfig) -> NoConnectionError:
    """What a CONNACK that says no means."""
    kind: Type[NoConnectionError] = UnreachableError if code in _UNAVAILABLE else RefusedError
    return kind(
        "broker %s refuses the connection: %s" % (address_of(config), _REFUSALS.get(code, _NO_WORDS % code)),
        "we came as %s; see username and password_file in [mqtt], and the broker's list of users" % account_of(config),
    )


def failure_from(error: Exception, config: MqttConfig, trouble: str = "") -> NoConnectionError:
    """What an attempt to connect died of; `trouble` is what paho complained of meanwhile."""
    where, text = "broker %s" % address_of(config), str(error)
    if isinstance(error, socket.gaierror):
        return UnreachableError(
            "%s: the name is not known (%s)" % (where, error.strerror), "see host in [mqtt], and DNS"
        )
    if isinstance(error, (ssl.SSLError, ValueError)):
        return _tls_failure_from(where, text)
    if isinstance(error, NoConnectionError) and config.tls:  # TLS 1.3 judges our certificate after the handshake
        return TlsError("%s %s (%s)" % (where, _OUR_CERTIFICATE.detail, trouble or text), _OUR_CERTIFICATE.mend)
    if isinstance(error, ConnectionRefusedError):
        return UnreachableError("%s: nothing listens there" % where, "start the broker, or see host and port in [mqtt]")
    if isinstance(error, (NoConnectionError, ConnectionResetError, BrokenPipeError)):
        return UnreachableError(
            "%s closes the connection without an answer" % where,
            "see tls in [mqtt] (%s now) and whether the broker wants a client certificate"
            % ("on" if config.tls else "off"),
        )
    if isinstance(error, socket.timeout):
        return UnreachableError("%s: no answer in time" % where, "see host and port in [mqtt], network and firewall")
    return UnreachableError("%s cannot be reached: %s" % (where, text), "see host and port in [mqtt], and the network")


class _TlsTrouble(NamedTuple):
    """Words in OpenSSL's text, in whichever version, and what they mean."""

    words: Tuple[str, ...]
    detail: str
    mend: str


_OUR_CERTIFICATE = _TlsTrouble(
    ("alert", "handshake failure"),
    "does not take this node's certificate, or wants one",
    "see certificate_file and key_file in [mqtt], their dates, and the authority that the broker trusts",
)
_TLS_TROUBLES = (  # the first that fits
    _TlsTrouble(
        ("protocol version", "unsupported protocol", "version too low"),
        "speaks no version of TLS that we do",
        "let it speak TLS 1.2 or 1.3, or see tls_min_version in [mqtt]",
    ),
    _OUR_CERTIFICATE,
    _TlsTrouble(
        ("hostname", "doesn't match", "ip address mismatch"),
        "shows a certificate for another name",
        "give as host in [mqtt] the name that is in the broker's certificate",
    ),
    _TlsTrouble(
        ("expired", "not yet valid"),
        "shows a certificate that is not valid now",
        "see the date on this machine, then renew the broker's certificate",
    ),
    _TlsTrouble(
        ("verify failed (",),  # Python 3.6 does not say why
        "shows a certificate that is not valid now, or of an unknown authority",
        "see the date on this machine, the broker's certificate, and ca_file in [mqtt]",
    ),
    _TlsTrouble(
        ("verify failed", "verify_failed"),
        "shows a certificate of an unknown authority",
        "give the authority that signed it as ca_file in [mqtt]",
    ),
    _TlsTrouble(
        ("",),
        "makes no encrypted channel",
        "see whether port in [mqtt] is the broker's TLS port, and which versions it speaks",
    ),
)


def _tls_failure_from(where: str, text: str) -> NoConnectionError:
    lower = text.lower()
    trouble = next(each for each in _TLS_TROUBLES if any(word in lower for word in each.words))
    return TlsError("%s %s (%s)" % (where, trouble.detail, text), trouble.mend)
