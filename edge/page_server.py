"""The live page, served by HTTP: for demonstrations, and where the broker serves no files.

The page is one static folder that any web server can serve; what it shows comes by MQTT over websockets, not from here.
"""

import functools
import http.server
import logging
import shutil
import socketserver
import threading
from pathlib import Path
from typing import Any, Optional
from urllib.parse import quote

from edge.errors import PageError

PAGE_FOLDER = Path(__file__).resolve().parent / "page"
_LOGGER = logging.getLogger(__name__)
_STOP_S = 5.0
_PORTS_TRIED = 200
_CLIENT_S = 30.0  # longest silence of a browser in the middle of a request
_CLIENTS = 64


def copy_page(target: Path) -> int:
    """Put the page's files into a folder; files of the same names are replaced, others stay.  Returns their number.

    Whatever the umask, everybody may read them: the broker, or a web server, is another user. A folder that was there
    before stays as its owner wants it.

    Raises PageError: the folder cannot be written.
    """
    copied = 0
    try:
        _make_readable_folder(target)
        for file in sorted(path for path in PAGE_FOLDER.rglob("*") if path.is_file()):
            place = target / file.relative_to(PAGE_FOLDER)
            if place.parent != target:  # the page's own, perhaps of a copy that nobody could read
                place.parent.mkdir(parents=True, exist_ok=True)
                _open_to_readers(place.parent)
            shutil.copyfile(str(file), str(place))
            place.chmod(0o644)
            copied += 1
    except OSError as error:
        raise PageError(
            "the page cannot be copied to %s (%s); give a folder that can be written" % (target, error)
        ) from error
    return copied


def _make_readable_folder(folder: Path) -> None:
    """With those above it, as far as they are missing."""
    for path in reversed((folder, *folder.parents)):
        if not path.is_dir():
            path.mkdir()
            _open_to_readers(path)


def _open_to_readers(folder: Path) -> None:
    folder.chmod(folder.stat().st_mode | 0o755)


def page_address(host: str, port: int, broker: str = "", root: str = "") -> str:
    """Where a browser finds the page, and in it which broker the page is to use."""
    query = "&".join(
        "%s=%s" % (name, quote(value, safe=":/")) for name, value in (("broker", broker), ("root", root)) if value
    )
    return "http://%s:%d/%s" % ("[%s]" % host if ":" in host else host, port, "?" + query if query else "")


class PageServer:
    """Serves the page until closed.

    Args:
        host: address to listen at; loopback unless others are to see it.
        port: the next free one where it is taken, any free one for 0.

    Raises (on `open`):
        PageError: nothing near can be listened at.
    """

    def __init__(self, port: int = 8080, host: str = "127.0.0.1") -> None:
        self.host = host
        self.port = port
        self._server: Optional[_Server] = None
        self._thread: Optional[threading.Thread] = None

    def __enter__(self) -> "PageServer":
        return self.open()

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def open(self) -> "PageServer":
        """Start listening; `port` then says where."""
        self._server = self._bound()
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="page-server", daemon=True)
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop listening.  Closing twice is no error."""
        server, thread = self._server, self._thread
        self._server = self._thread = None
        if server is None or thread is None:
            return
        server.shutdown()
        server.server_close()
        thread.join(_STOP_S)

    def _bound(self) -> "_Server":
        handler = functools.partial(_Handler, PAGE_FOLDER)
        last = self.port if self.port == 0 else min(self.port + _PORTS_TRIED, 65535)
        for port in range(self.port, last + 1):
            try:
                return _Server((self.host, port), handler)
            except (OSError, OverflowError) as error:
                failure = error
        raise PageError(
            "the page cannot be served at %s:%d (%s); give another address or port" % (self.host, self.port, failure)
        )


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    # http.server's own ThreadingHTTPServer is younger than Python 3.6
    daemon_threads = True
    block_on_close = False

    def __init__(self, *arguments: Any) -> None:
        self._places = threading.BoundedSemaphore(_CLIENTS)
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)  # a browser asks again

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        _LOGGER.debug("page server: %s on %s went away", client_address, request)


class _Handler(http.server.SimpleHTTPRequestHandler):
    timeout = _CLIENT_S
    server_version = "soundclr-page"
    sys_version = ""
    extensions_map = {  # not the machine's own table, which may know no JavaScript
        "": "application/octet-stream",
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".png": "image/png",
        ".md": "text/plain; charset=utf-8",
    }

    def __init__(self, folder: Path, *arguments: Any) -> None:
        self._folder = folder
        super().__init__(*arguments)

    def translate_path(self, path: str) -> str:
        """A file of the page, or one that is not there: nothing else can be asked for."""
        name = path.split("?", 1)[0].split("#", 1)[0].lstrip("/") or "index.html"
        allowed = {file.relative_to(self._folder).as_posix() for file in self._folder.rglob("*") if file.is_file()}
        return str(self._folder / name) if name in allowed else str(self._folder / "no-such-file")

    def end_headers(self) -> None:
        """With what a page of strangers' data ought to say besides."""
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "DENY")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - http.server's name
        """Each file asked for is no news."""
        _LOGGER.debug("page server: %s", format % arguments)
