"""TLS with real certificates, good ones and each kind of bad one, and credentials from files, against a real mosquitto.

Runs on Python 3.6 with paho-mqtt 1.6 as well.
"""

import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from edge.broker_check import check_broker
from edge.publish import Publisher, RetryPolicy
from edge.records import Message
from edge.store import MemoryStore
from tests.edge.socket_broker import wait_until

pytestmark = pytest.mark.system
QUICK = RetryPolicy(first_s=0.1, longest_s=0.5, refused_s=0.5)
REPOSITORY = Path(__file__).resolve().parents[2]


def make_publisher(config, store=None):
    return Publisher(config, "corner", store or MemoryStore(), list, retry=QUICK)


def is_connected(publisher):
    return wait_until(lambda: publisher.connection_state == "connected")


def assert_refused(config, detail, mend):
    """`check` and the running node say the same, in one line each."""
    result = check_broker(config, "corner")
    assert not result.ok
    assert detail in result.detail and mend in result.mend, result
    assert "\n" not in result.detail + result.mend
    store = MemoryStore()
    with make_publisher(config, store) as publisher:
        publisher.publish(Message("soundclr/corner/street/event", b"{}", 1, False, True))
        assert wait_until(lambda: publisher.connection_state == "tls_failed")
        assert detail in publisher.last_error
    assert store.counts().waiting == 1


def test_certificate_of_the_node_is_its_user_name(mosquitto):
    result = check_broker(mosquitto.mutual_config(), "corner")
    assert result.ok, result
    with make_publisher(mosquitto.mutual_config()) as publisher:
        assert is_connected(publisher)


def test_broker_that_wants_a_certificate_says_so(mosquitto):
    config = mosquitto.tls_config(port=mosquitto.mutual_port)
    assert_refused(config, "does not take this node's certificate, or wants one", "certificate_file")


@pytest.mark.parametrize("certificate", ["corner-expired", "stranger"])
def test_certificate_of_the_node_that_the_broker_refuses_is_told(mosquitto, certificate):
    config = mosquitto.mutual_config(certificate)
    assert_refused(config, "does not take this node's certificate", "certificate_file and key_file")


def test_expired_certificate_of_the_broker_is_told(mosquitto):
    mosquitto.stop()
    mosquitto.server_certificate = "expired"
    mosquitto.write_settings()
    mosquitto.start()
    assert_refused(mosquitto.tls_config(), "not valid now", "the date on this machine")


def test_certificate_of_another_authority_is_told(mosquitto):
    config = mosquitto.tls_config(ca_file=str(mosquitto.folder / "other-ca.crt"))
    assert_refused(config, "unknown authority", "ca_file in [mqtt]")


def test_authorities_of_the_system_do_not_include_ours(mosquitto):
    assert_refused(mosquitto.tls_config(ca_file=""), "unknown authority", "ca_file in [mqtt]")


def test_certificate_for_another_name_is_told(mosquitto):
    assert_refused(mosquitto.tls_config(host="127.0.0.1"), "another name", "host in [mqtt]")


def serve_tls(mosquitto, version):
    """OpenSSL's own server, which speaks one version alone; mosquitto takes newer ones too, and none before 1.2."""
    folder = mosquitto.folder
    command = ["openssl", "s_server", "-accept", "127.0.0.1:%d" % mosquitto.unused_port, version, "-quiet"]
    command += ["-cipher", "ALL:@SECLEVEL=0"]
    command += ["-cert", str(folder / "server.crt"), "-key", str(folder / "server.key")]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("spoken, oldest", [("-tls1_1", "1.2"), ("-tls1_2", "1.3")])
def test_broker_of_an_older_tls_is_refused(mosquitto, spoken, oldest):
    config = mosquitto.tls_config(port=mosquitto.unused_port, tls_min_version=oldest)
    server = serve_tls(mosquitto, spoken)
    try:
        assert wait_until(lambda: "nothing listens" not in check_broker(config, "corner", 1.0).detail)
        assert_refused(config, "speaks no version of TLS that we do", "tls_min_version")
    finally:
        server.kill()
        server.wait()


def test_the_newest_tls_is_spoken_where_nothing_else_will_do(mosquitto):
    assert check_broker(mosquitto.tls_config(tls_min_version="1.3"), "corner").ok


def test_channel_that_breaks_off_after_certificates_are_renewed_comes_back(mosquitto):
    """The files are read anew for each connection, so renewed certificates need no restart of the node."""
    certificate = mosquitto.folder / "renewed.crt"
    key = mosquitto.folder / "renewed.key"
    for suffix, path in ((".crt", certificate), (".key", key)):
        path.write_bytes((mosquitto.folder / ("corner-expired" + suffix)).read_bytes())
    with make_publisher(mosquitto.mutual_config("renewed")) as publisher:
        assert wait_until(lambda: publisher.connection_state == "tls_failed")
        for suffix, path in ((".crt", certificate), (".key", key)):
            path.write_bytes((mosquitto.folder / ("corner" + suffix)).read_bytes())
        assert is_connected(publisher)


def test_password_changed_at_the_broker_is_taken_from_its_file(mosquitto):
    store = MemoryStore()
    with make_publisher(mosquitto.config(), store) as publisher:
        assert is_connected(publisher)
        mosquitto.set_password("corner", "renewed")
        mosquitto.stop()
        mosquitto.start()
        publisher.publish(Message("soundclr/corner/street/event", b"{}", 1, False, True))
        assert wait_until(lambda: publisher.connection_state == "refused")
        assert "user 'corner'" in publisher.last_error and "renewed" not in publisher.last_error
        assert store.counts().waiting == 1
        mosquitto.password_file("corner").write_text("renewed\n")
        assert is_connected(publisher)
        assert wait_until(lambda: store.counts().waiting == 0)


def test_user_name_and_password_come_as_credentials_of_systemd(mosquitto, tmp_path, monkeypatch):
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "user").write_text("corner\n")
    (folder / "password").write_text("s3cret\n")
    config = mosquitto.config(
        username="", username_file="$CREDENTIALS_DIRECTORY/user", password_file="$CREDENTIALS_DIRECTORY/password"
    )
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    result = check_broker(config, "corner")
    assert not result.ok and "LoadCredential" in result.detail + result.mend, result
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    assert check_broker(config, "corner").ok
    (folder / "password").write_text("wrong\n")
    result = check_broker(config, "corner")
    assert not result.ok and "$CREDENTIALS_DIRECTORY/user" in result.mend and "wrong" not in result.mend


def test_no_secret_is_in_the_arguments_or_the_environment_of_a_node(mosquitto):
    program = (
        "import sys\nfrom edge.config import MqttConfig\nfrom edge.broker_check import check_broker\n"
        "config = MqttConfig(port=int(sys.argv[1]), username='corner', password_file=sys.argv[2])\n"
        "result = check_broker(config, 'corner')\n"
        "print(open('/proc/self/cmdline').read(), open('/proc/self/environ').read(), result)"
    )
    command = [sys.executable, "-c", program, str(mosquitto.port), str(mosquitto.password_file("corner"))]
    told = subprocess.check_output(command, cwd=str(REPOSITORY), universal_newlines=True)
    assert "ok=True" in told and "s3cret" not in told


def test_nothing_older_than_tls_1_2_is_ever_offered(mosquitto):
    from edge.tls import tls_context_from

    context = tls_context_from(mosquitto.tls_config())
    assert context.verify_mode == ssl.CERT_REQUIRED and context.check_hostname
    if hasattr(ssl, "TLSVersion"):
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    else:
        assert context.options & ssl.OP_NO_TLSv1 and context.options & ssl.OP_NO_TLSv1_1
