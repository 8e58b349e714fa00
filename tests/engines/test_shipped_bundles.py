"""The bundles that ship: read strictly, and equal to torch (whose answers the self-test holds) on a real recording."""

from pathlib import Path

import pytest

from engines.bundle import load_bundle
from engines.runtimes import open_runtime
from engines.selftest import load_selftest, run_selftest

ENGINES = Path(__file__).resolve().parent.parent.parent / "engines"
SHIPPED = sorted(path.parent for path in ENGINES.glob("*/manifest.json"))


def test_both_bundles_ship():
    assert [path.name for path in SHIPPED] == ["esc10", "urban"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_selftest_and_size(path):
    bundle = load_bundle(path)
    with open_runtime(bundle) as runtime:
        result = run_selftest(bundle, runtime)
    assert result.logmel_error_db <= 5e-3 and result.logit_error <= 1e-3
    assert sum(file.stat().st_size for file in path.iterdir()) < 20e6
    assert load_selftest(bundle).samples.std() > 0.01, "the self-test's sound is a real, audible one"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_the_card_and_the_record_say_what_a_user_must_know(path):
    bundle = load_bundle(path)
    card = (path / "MODEL_CARD.md").read_text(encoding="utf-8")
    for needed in ("Licence", "95 % interval", "What it is for, and what not", "Foreign sound"):
        assert needed in card
    metrics = bundle.training["metrics"]
    low, high = metrics["accuracy_interval_by_source"]
    assert low < metrics["accuracy"] < high
    assert set(metrics["by_class"]) == set(bundle.labels)
