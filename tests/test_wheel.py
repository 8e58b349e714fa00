"""The wheel that goes to a Jetson: edge and engines with their data, and only commands that work there."""

import configparser
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BUILD_FILES = ["pyproject.toml", "README.md", "LICENSE"]
LITTER = shutil.ignore_patterns("__pycache__", "node_modules", "*.egg-info", "*.log")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy so that no old build folder leaks into it."""
    checkout = tmp_path_factory.mktemp("checkout")
    for name in BUILD_FILES:
        shutil.copy(ROOT / name, checkout)
    for package in ["edge", "engines", "trainer", "tests"]:
        shutil.copytree(ROOT / package, checkout / package, ignore=LITTER)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-qq", "wheel", "--no-deps"]
    subprocess.run([*pip, "--wheel-dir", checkout / "dist", checkout], check=True, timeout=300)
    (path,) = (checkout / "dist").iterdir()
    assert path.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_wheel_holds_every_file_of_edge_and_engines(wheel):
    here = {
        source.relative_to(ROOT).as_posix()
        for package in ["edge", "engines"]
        for source in (ROOT / package).rglob("*")
        if source.is_file() and "__pycache__" not in source.parts
    }
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == here


def test_wheel_offers_the_daemon_alone(wheel):
    (entry_points,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    parser = configparser.ConfigParser()
    parser.read_string(wheel.read(entry_points).decode())
    assert dict(parser["console_scripts"]) == {"soundclr-edge": "edge.cli:main"}


def test_wheel_says_that_it_runs_on_python_3_6(wheel):
    (metadata,) = (name for name in wheel.namelist() if name.endswith("METADATA"))
    assert "Requires-Python: >=3.6" in wheel.read(metadata).decode().splitlines()
