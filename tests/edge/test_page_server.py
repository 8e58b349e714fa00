import hashlib
import os
import re
import urllib.error
import urllib.request

import pytest

from edge.cli import main
from edge.errors import PageError
from edge.page_server import PAGE_FOLDER, PageServer, copy_page, page_address

OWN_SCRIPTS = sorted(PAGE_FOLDER.glob("*.js"))
# of the minified build in the npm package mqtt 5.16.0
MQTT_SHA256 = "f3cbeae580d3010048938ee370f2db0c15d16e6f7fc147cb32ae5510e571b387"


@pytest.fixture
def server():
    with PageServer(port=0) as page:
        yield page


def fetch(server, path):
    with urllib.request.urlopen("http://127.0.0.1:%d/%s" % (server.port, path), timeout=30) as answer:
        return answer.headers, answer.read()


@pytest.mark.parametrize(
    "path, kind",
    [("", "text/html"), ("?broker=ws://a:1/", "text/html"), ("page.css", "text/css"), ("page.js", "text/javascript")],
)
def test_files_come_with_their_types_and_for_no_frame(server, path, kind):
    headers, body = fetch(server, path)
    assert headers["Content-Type"] == kind + "; charset=utf-8"
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "DENY"
    assert body == (PAGE_FOLDER / (path.split("?")[0] or "index.html")).read_bytes()


@pytest.mark.parametrize(
    "path",
    ["../page_server.py", "%2e%2e/page_server.py", "vendor/", "vendor", "//etc/passwd", "page.js/..", "no.html", "%00"],
)
def test_nothing_but_the_page_is_served(server, path):
    with pytest.raises(urllib.error.HTTPError) as refused:
        fetch(server, path)
    assert refused.value.code == 404


def test_a_taken_port_is_passed_over_and_an_impossible_address_is_named(server):
    with PageServer(port=server.port) as second:
        assert second.port > server.port
        assert fetch(second, "page.js")[1] == fetch(server, "page.js")[1]
    with pytest.raises(PageError, match=r"cannot be served at 203\.0\.113\.7:0 .* give another address"):
        PageServer(port=0, host="203.0.113.7").open()
    second.close()  # closing twice is no error


def test_the_page_is_copied_whole_and_again_over_itself(tmp_path, capsys):
    for _ in range(2):
        assert main(["page", "--copy", str(tmp_path / "www")]) == 0
    copied = {
        path.relative_to(tmp_path / "www"): path.read_bytes()
        for path in (tmp_path / "www").rglob("*")
        if path.is_file()
    }
    assert copied == {
        path.relative_to(PAGE_FOLDER): path.read_bytes() for path in PAGE_FOLDER.rglob("*") if path.is_file()
    }
    assert "%d files in" % len(copied) in capsys.readouterr().out
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PageError, match="cannot be copied to"):
        copy_page(tmp_path / "file")
    assert main(["page", "--copy", str(tmp_path / "file")]) == 2


def test_whatever_the_umask_everybody_may_read_a_copy(tmp_path):
    def modes(folder):
        return {path.relative_to(tmp_path): path.stat().st_mode & 0o777 for path in folder.rglob("*")}

    made = tmp_path / "srv" / "www"
    (tmp_path / "kept" / "vendor").mkdir(mode=0o700, parents=True)  # of a copy before
    (tmp_path / "kept").chmod(0o750)
    before = os.umask(0o077)
    try:
        copy_page(made)
        copy_page(tmp_path / "kept")
        copy_page(tmp_path / "new" / ".." / "kept")  # whoever climbs changes nothing where he has been
    finally:
        os.umask(before)
    for folder in (tmp_path / "srv", tmp_path / "kept"):
        assert {mode for path, mode in modes(folder).items() if not (tmp_path / path).is_dir()} == {0o644}
        assert {mode for path, mode in modes(folder).items() if (tmp_path / path).is_dir()} == {0o755}
    assert (tmp_path / "srv").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o750  # its owner's affair


def test_the_command_says_where_the_page_is_and_serves_it_for_a_time(capsys):
    assert main(["page"]) == 0
    assert capsys.readouterr().out.strip() == str(PAGE_FOLDER)
    arguments = ["--broker", "ws://10.0.0.1:9001/", "--root", "city/sound", "--duration-s", "0.1"]
    assert main(["page", "--listen", "127.0.0.1:39155"] + arguments) == 0
    out = capsys.readouterr().out.strip()
    assert re.match(r"http://127\.0\.0\.1:\d+/\?broker=ws://10\.0\.0\.1:9001/&root=city/sound\Z", out), out
    with pytest.raises(SystemExit):
        main(["page", "--listen", "99999999"])
    assert "expected ADDRESS:PORT or PORT" in capsys.readouterr().err


def test_addresses_are_written_as_browsers_read_them():
    assert page_address("::1", 80) == "http://[::1]:80/"
    assert page_address("a", 1, "ws://b:2/?x=1&y", "c d") == "http://a:1/?broker=ws://b:2/%3Fx%3D1%26y&root=c%20d"


def test_the_page_asks_nobody_else_and_reads_no_stranger_s_text_as_html():
    html = (PAGE_FOLDER / "index.html").read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html).group(1)
    assert policy == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src ws: wss:; "
        "base-uri 'none'; form-action 'none'"
    )
    assert not re.search(r"<style|style=|<script>|\son\w+=|https?:", html)
    named = set(re.findall(r'(?:src|href)="([^"#]+)"', html))
    assert named == {
        path.relative_to(PAGE_FOLDER).as_posix()
        for path in PAGE_FOLDER.rglob("*")
        if path.suffix in (".js", ".css", ".png")
    }
    for script in OWN_SCRIPTS:
        text = script.read_text(encoding="utf-8")
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|https?://", text
        ), script
    assert not re.search(r"https?:|@import|url\(", (PAGE_FOLDER / "page.css").read_text(encoding="utf-8"))


def test_the_library_is_the_published_one_with_its_licence():
    (library,) = (PAGE_FOLDER / "vendor").glob("mqtt-*.js")
    assert library.name == "mqtt-5.16.0.min.js"
    assert hashlib.sha256(library.read_bytes()).hexdigest() == MQTT_SHA256
    assert "MIT" in (PAGE_FOLDER / "vendor" / "mqtt-LICENSE.md").read_text(encoding="utf-8")
