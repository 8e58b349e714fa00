"""Why there is no connection to the broker, in words that a person can act on."""

import socket
import ssl
from typing import Type

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


def refusal_from(code: int, config: MqttConfig) -> NoConnectionError:
    """What a CONNACK that says no means."""
    kind: Type[NoConnectionError] = UnreachableError if code in _UNAVAILABLE else RefusedError
    return kind(
        "broker %s refuses the connection: %s" % (address_of(config), _REFUSALS.get(code, _NO_WORDS % code)),
        "see username (%r) and password_file in [mqtt], and the broker's list of users" % config.username,
    )


def failure_from(error: Exception, config: MqttConfig) -> NoConnectionError:
    """What an attempt to connect died of."""
    where, text = "broker %s" % address_of(config), str(error)
    if isinstance(error, socket.gaierror):
        return UnreachableError(
            "%s: the name is not known (%s)" % (where, error.strerror), "see host in [mqtt], and DNS"
        )
    if isinstance(error, (ssl.SSLError, ValueError)):
        return _tls_failure_from(where, text)
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


def _tls_failure_from(where: str, text: str) -> NoConnectionError:
    lower = text.lower()
    if "hostname" in lower or "doesn't match" in lower or "ip address mismatch" in lower:
        return TlsError(
            "%s shows a certificate for another name (%s)" % (where, text),
            "give as host in [mqtt] the name that is in the broker's certificate",
        )
    if "expired" in lower or "not yet valid" in lower:
        return TlsError(
            "%s shows a certificate that is not valid now (%s)" % (where, text),
            "see the date on this machine, then renew the broker's certificate",
        )
    if "verify failed" in lower or "verify_failed" in lower:
        return TlsError(
            "%s shows a certificate of an unknown authority (%s)" % (where, text),
            "give the authority that signed it as ca_file in [mqtt]",
        )
    return TlsError(
        "%s: no encrypted channel (%s)" % (where, text),
        "see whether port in [mqtt] is the broker's TLS port, and which versions it speaks",
    )
