"""What names us to a broker comes from files, and from nothing else."""

import pytest

from edge.config import MqttConfig
from edge.credentials import Credentials, located, read_credentials
from edge.errors import ConfigError


def make_file(path, content, mode=0o600):
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


def test_nothing_configured_is_nobody():
    assert read_credentials(MqttConfig()) == Credentials(None, None)
    assert read_credentials(MqttConfig(username="corner")) == Credentials("corner", None)


def test_user_name_and_password_of_files_are_theirs_without_the_ends_of_lines(tmp_path):
    config = MqttConfig(
        username_file=make_file(tmp_path / "user", b"corner\r\n"),
        password_file=make_file(tmp_path / "password", b" p\xc3\xa4ss word \n"),
    )
    assert read_credentials(config) == Credentials("corner", " p\xe4ss word ")


def test_a_credential_of_systemd_is_found_in_its_folder(tmp_path, monkeypatch):
    make_file(tmp_path / "mqtt", b"s3cret")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    config = MqttConfig(username="corner", password_file="$CREDENTIALS_DIRECTORY/mqtt")
    assert read_credentials(config).password == "s3cret"
    assert located("ca_file", "/etc/$CREDENTIALS_DIRECTORY/x") == "/etc/$CREDENTIALS_DIRECTORY/x"


def test_credentials_that_systemd_did_not_give_are_one_clear_line(monkeypatch):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(ConfigError, match="ca_file .*LoadCredential") as caught:
        located("ca_file", "$CREDENTIALS_DIRECTORY/ca.crt")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"a\0b"])
@pytest.mark.parametrize("key", ["username_file", "password_file"])
def test_a_file_that_holds_none_is_one_clear_line_that_tells_nothing_of_it(tmp_path, key, content):
    good = make_file(tmp_path / "good", b"s3cret")
    files = dict(username_file=good, password_file=good)
    files[key] = make_file(tmp_path / "bad", content)
    with pytest.raises(ConfigError, match=key) as caught:
        read_credentials(MqttConfig(**files))
    assert "\n" not in str(caught.value) and "s3cret" not in str(caught.value)
