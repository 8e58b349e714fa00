"""The encrypted channel: who may be on the other side, and what is too old to be trusted."""

import ssl
from typing import Any

from edge.config import MqttConfig
from edge.credentials import located
from edge.errors import ConfigError

_HANDSHAKE_S = 10.0


class _ClientContext(ssl.SSLContext):
    """Gives a handshake its own time: paho 1.6 would let it take as long as the connection may be silent."""

    def wrap_socket(self, *arguments: Any, **options: Any) -> Any:
        wrapped = super().wrap_socket(*arguments, **options)
        wrapped.settimeout(_HANDSHAKE_S)
        wrapped.do_handshake()
        return wrapped


def tls_context_from(config: MqttConfig) -> ssl.SSLContext:
    """A context that takes nobody but the host of [mqtt], certified by its authorities.

    Raises:
        ConfigError: a certificate or key cannot be used, or the version of TLS is not to be had here.
    """
    ca_file = located("ca_file", config.ca_file)
    certificate_file = located("certificate_file", config.certificate_file)
    key_file = located("key_file", config.key_file)
    context = _ClientContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and host name
    try:
        if ca_file:
            context.load_verify_locations(cafile=ca_file)
        else:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        if certificate_file:
            # without a password at hand OpenSSL would ask for one on the terminal, and wait
            context.load_cert_chain(certificate_file, key_file, password=_refuse_password)
    except (OSError, ValueError) as error:  # SSLError is an OSError
        files = ", ".join(name for name in (ca_file, certificate_file, key_file) if name)
        raise ConfigError(
            "[mqtt] certificates (%s) cannot be used: %s; give PEM files that the service's user may read, the key "
            "without a passphrase" % (files, getattr(error, "strerror", None) or error)
        ) from error
    _refuse_old_versions(context, config.tls_min_version)
    return context


def _refuse_password() -> str:
    raise ValueError("the key is protected by a passphrase")


def _refuse_old_versions(context: ssl.SSLContext, oldest: str) -> None:
    if oldest == "1.3" and not hasattr(ssl, "OP_NO_TLSv1_3"):
        raise ConfigError('[mqtt] tls_min_version is "1.3" and %s has none; give "1.2"' % ssl.OPENSSL_VERSION)
    versions: Any = getattr(ssl, "TLSVersion", None)
    if versions is not None:
        setattr(context, "minimum_version", versions.TLSv1_3 if oldest == "1.3" else versions.TLSv1_2)  # noqa: B010
    else:  # Python 3.6
        context.options |= ssl.OP_NO_TLSv1 | ssl.OP_NO_TLSv1_1 | (ssl.OP_NO_TLSv1_2 if oldest == "1.3" else 0)
