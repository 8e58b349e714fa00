"""Certificates made for the tests: an authority, what it has signed well and badly, and one that has signed nothing."""

import subprocess
from pathlib import Path

_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def make_certificates(folder: Path) -> None:
    """`server` is for the host `localhost` alone, `expired` too, until yesterday; `corner` and `corner-expired` are
    a node's own; `stranger` is a node's, signed by the other authority."""
    for name in ("ca", "other-ca"):
        _make_authority(folder, name)
    _sign(folder, "server", "localhost")
    _sign(folder, "expired", "localhost", days=-1)
    _sign(folder, "corner", "corner")
    _sign(folder, "corner-expired", "corner", days=-1)
    _sign(folder, "stranger", "corner", authority="other-ca")


def _make_authority(folder: Path, name: str) -> None:
    usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    files = ["-keyout", name + ".key", "-out", name + ".crt"]
    _openssl(folder, "req", "-x509", *(_KEY + ["-days", "30", "-subj", "/CN=" + name] + files + usage))


def _sign(folder: Path, name: str, subject: str, days: int = 30, authority: str = "ca") -> None:
    _openssl(folder, "req", *(_KEY + ["-subj", "/CN=" + subject, "-keyout", name + ".key", "-out", name + ".csr"]))
    (folder / (name + ".ext")).write_text("subjectAltName=DNS:%s\n" % subject)
    signer = ["-CA", authority + ".crt", "-CAkey", authority + ".key", "-CAcreateserial", "-days", str(days)]
    _openssl(
        folder, "x509", "-req", *(signer + ["-in", name + ".csr", "-extfile", name + ".ext", "-out", name + ".crt"])
    )


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.check_output(["openssl"] + list(arguments), cwd=str(folder), stderr=subprocess.STDOUT)
