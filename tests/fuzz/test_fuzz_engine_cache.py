"""Sidecars and engines that are not as they were written: they count as not there, and nothing else happens."""

import hashlib
import json
import logging
import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engines.engine_cache import EngineCache, EngineKey
from engines.errors import CompileError
from tests.fuzz.inputs import check_message, fuzzed, one_input
from tests.fuzz.mutations import damaged_bytes, damaged_json

KEY = EngineKey("a" * 64, "fp16", "8.2.1", "5.3", "Tegra X1", "10.2")
OTHER = KEY._replace(tensorrt="8.0.1")
PLAN = b"an engine, as TensorRT would write it" * 20
DIGEST = hashlib.sha256(PLAN).hexdigest()
GOOD = {"schema": 1, "sha256": DIGEST, "bytes": len(PLAN), "key": dict(KEY._asdict()), "refused": None}
REFUSED = dict(GOOD, refused="TensorRT 8.2.1 has no such layer; update it")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    cache = EngineCache(tmp_path_factory.mktemp("state") / "engines")
    cache.store(KEY, PLAN, {})
    logger = logging.getLogger("engines.engine_cache")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # what is damaged is warned of, each time
    yield cache
    logger.setLevel(level)


def lay(path, content):
    path.write_bytes(content)
    os.chmod(str(path), 0o600)


@fuzzed(share=10, examples=300)
@given(
    sidecar=damaged_json([GOOD, REFUSED]),
    other=damaged_json([dict(GOOD, key=dict(OTHER._asdict()))]),
    plan=st.one_of(st.just(PLAN), damaged_bytes([PLAN])),
)
@example(sidecar=b'{"schema": 1, "bytes": 740, "key": null, "refused": ""}', other=b"{}", plan=PLAN)  # an empty reason
def test_damaged_sidecars(cache, sidecar, other, plan):
    lay(cache.path_of(KEY), plan)
    for path, content in ((cache.path_of(KEY), sidecar), (cache.path_of(OTHER), other)):
        lay(path.with_name(path.name + ".json"), content)
    with one_input("engine sidecars", CompileError):
        refusal = cache.refusal(KEY)
        if refusal is not None:
            check_message(refusal)
        found = cache.read(KEY)
        assert found in (None, plan)
        assert found is None or (hashlib.sha256(found).hexdigest() == json.loads(sidecar.decode())["sha256"])
        cache.read_timing(KEY)
        cache.store(KEY, PLAN, {})  # looks through the others, for those that it replaces
        assert cache.read(KEY) == PLAN
