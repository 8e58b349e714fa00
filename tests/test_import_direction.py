"""Imports go edge -> engines <- trainer, nothing else; and modules are named for what they are."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "edge": {"edge", "engines"},
    "engines": {"engines"},
    "trainer": {"trainer", "engines"},
}
OURS = {*MAY_IMPORT, "tests"}
SAYS_NOTHING = {"base_utils", "common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}


def imported_packages(tree: ast.AST, package: str) -> set[str]:
    """Top-level packages that a module imports, at its top or inside a function; `package` is its own."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(package if node.level else str(node.module).partition(".")[0])
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "__import__"):
            name = node.args[0]
            if isinstance(name, ast.Constant):
                found.add(str(name.value).partition(".")[0])
    return found


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_package_imports_only_what_its_place_allows(package):
    sources = sorted((ROOT / package).rglob("*.py"))
    strays = {
        "{} imports {}".format(source.relative_to(ROOT), other)
        for source in sources
        for other in (imported_packages(ast.parse(source.read_text("utf-8")), package) & OURS) - MAY_IMPORT[package]
    }
    assert sources
    assert not strays


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import edge.config", {"edge"}),
        ("def late():\n    from trainer import model", {"trainer"}),
        ("from . import errors", {"engines"}),
        ("import importlib\nimportlib.import_module('edge.config')", {"importlib", "edge"}),
    ],
)
def test_every_form_of_import_is_seen(source, expected):
    assert imported_packages(ast.parse(source), "engines") == expected


def test_modules_are_named_for_what_they_are():
    sources = [source for package in [*MAY_IMPORT, "tests"] for source in (ROOT / package).rglob("*.py")]
    vague = [
        str(source.relative_to(ROOT))
        for source in sources
        if SAYS_NOTHING & {source.stem, *source.stem.split("_"), *source.relative_to(ROOT).parts}
    ]
    assert not vague
