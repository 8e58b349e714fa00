"""Engines on disk: what may be loaded, what is built anew, and that nothing in that folder is ever a crash."""

import json
import os
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engines.bundle import load_bundle
from engines.compile import engines_directory, prepare_engine
from engines.engine_cache import EngineCache, EngineKey
from engines.errors import CompileError
from tests.engines.bundles import write_tiny_bundle
from tests.engines.stand_in_environment import installed

KEY = EngineKey("0" * 64, "fp16", "8.2.1.8", "5.3", "NVIDIA Tegra X1", "10.2")
PLAN = b"a plan" * 100


@pytest.fixture
def cache(tmp_path):
    return EngineCache(tmp_path / "engines")


@pytest.fixture
def bundle(tmp_path):
    return load_bundle(write_tiny_bundle(tmp_path / "tiny"))


def test_what_is_kept_is_found_again_and_nothing_else(cache):
    assert cache.read(KEY) is None and cache.refusal(KEY) is None and cache.read_timing(KEY) == b""
    cache.store(KEY, PLAN, {})
    cache.store_timing(KEY, b"timings")
    assert cache.read(KEY) == PLAN and cache.refusal(KEY) is None and cache.read_timing(KEY) == b"timings"
    for field, value in KEY._asdict().items():
        assert cache.read(KEY._replace(**{field: value + "1"})) is None
    assert cache.read_timing(KEY._replace(precision="fp32", model_sha256="1" * 64)) == b"timings"
    assert cache.read_timing(KEY._replace(driver="12.6")) == b""


def test_a_refusal_replaces_the_engine_and_an_engine_the_refusal(cache):
    cache.store(KEY, PLAN, {})
    cache.refuse(KEY, "it misheard")
    assert cache.read(KEY) is None and cache.refusal(KEY) == "it misheard"
    cache.store(KEY, PLAN, {})
    assert cache.read(KEY) == PLAN and cache.refusal(KEY) is None
    cache.forget(KEY)
    assert cache.read(KEY) is None and cache.refusal(KEY) is None


def test_what_a_build_that_was_cut_off_left_is_cleared_away_by_the_next(cache):
    cache.store(KEY, PLAN, {})
    (cache.directory / (".%s.4242.new" % cache.path_of(KEY).name)).write_bytes(b"half a plan")
    with cache.locked(1.0):
        pass
    assert sorted(path.name for path in cache.directory.iterdir() if path.name != ".lock") == [
        cache.path_of(KEY).name,
        cache.path_of(KEY).name + ".json",
    ]
    assert cache.read(KEY) == PLAN


def test_engines_for_what_this_machine_no_longer_has_are_removed(cache):
    others = [KEY._replace(model_sha256="1" * 64), KEY._replace(precision="fp32"), KEY._replace(device="another")]
    for key in others:
        cache.store(key, PLAN, {})
    updated = KEY._replace(tensorrt="8.2.2")
    cache.store(KEY, PLAN, {})
    cache.store(updated, PLAN, {})
    assert cache.read(KEY) is None and not cache.path_of(KEY).exists()
    assert all(cache.read(key) == PLAN for key in others + [updated])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-3]),
        lambda path: path.write_bytes(b"\0" + path.read_bytes()[1:]),
        lambda path: path.unlink(),
        lambda path: path.chmod(0o666),
        lambda path: path.chmod(0o620),
        lambda path: (path.rename(str(path) + "x"), path.symlink_to(str(path) + "x")),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), os.mkfifo(str(path), 0o600)),
        lambda path: path.write_bytes(b"[]"),
    ],
)
@pytest.mark.parametrize("which", ["engine", "sidecar"])
def test_what_is_not_as_it_was_written_is_not_loaded(cache, spoil, which):
    path = cache.store(KEY, PLAN, {})
    spoil(path if which == "engine" else path.with_name(path.name + ".json"))
    assert cache.read(KEY) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
@pytest.mark.parametrize("suffix", ["", ".json"])
def test_another_users_file_is_not_loaded(cache, suffix):
    path = cache.store(KEY, PLAN, {})
    os.chown(str(path) + suffix, 12345, 12345)
    assert cache.read(KEY) is None


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just({"schema": 1}),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["schema", "sha256", "refused", "key", "bytes"]), inner, max_size=4)
        ),
    ).map(lambda value: json.dumps(value).encode("utf-8"))
)
def test_no_sidecar_is_a_crash_or_vouches_for_another_plan(cache, content):
    path = cache.store(KEY, PLAN, {})
    path.with_name(path.name + ".json").write_bytes(content)
    assert cache.read(KEY) is None
    refusal = cache.refusal(KEY)
    assert refusal is None or isinstance(refusal, str)
    cache.store(KEY._replace(tensorrt="8.2.2"), PLAN, {})  # reads every sidecar in the folder


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "engines").write_text("a file")
    with pytest.raises(CompileError, match="engines cannot be kept in"):
        EngineCache(tmp_path / "engines").store(KEY, PLAN, {})
    with pytest.raises(CompileError, match="engines cannot be kept in"), EngineCache(tmp_path / "engines").locked(1.0):
        pass


def test_the_lock_keeps_others_waiting_but_not_for_ever(cache):
    waits = []
    with cache.locked(10.0):
        with pytest.raises(CompileError, match="another process has been building"):
            with EngineCache(cache.directory).locked(1.2, lambda: waits.append(1)):
                pass
    assert waits
    with cache.locked(0.0):
        pass


def test_two_sources_of_one_node_build_once(bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("STAND_IN_BUILD_S", "1")
    with installed(monkeypatch, "v8_2"):
        built = []
        threads = [
            threading.Thread(target=lambda: built.append(prepare_engine(bundle, tmp_path).was_built)) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(300)
    assert sorted(built) == [False, True]


@pytest.mark.parametrize(
    "change", [{"STAND_IN_DEVICE": "another"}, {"STAND_IN_DRIVER": "12060"}, {"STAND_IN_CAPABILITY": "8.7"}]
)
def test_another_device_or_driver_gets_an_engine_of_its_own(bundle, tmp_path, monkeypatch, change):
    with installed(monkeypatch, "v10_3"):
        first = prepare_engine(bundle, tmp_path)
        for name, value in change.items():
            monkeypatch.setenv(name, value)
        second = prepare_engine(bundle, tmp_path)
        assert second.was_built and second.path != first.path


def test_another_version_gets_an_engine_of_its_own(bundle, tmp_path, monkeypatch):
    paths = []
    for version in ("v8_2", "v8_6", "v10_3"):
        with installed(monkeypatch, version):
            engine = prepare_engine(bundle, tmp_path)
            assert engine.was_built
            paths.append(engine.path)
    assert len(set(paths)) == 3
    assert [path.name for path in engines_directory(tmp_path).glob("*.engine")] == [paths[-1].name]


def test_a_damaged_engine_is_built_again(bundle, tmp_path, monkeypatch):
    with installed(monkeypatch, "v8_2"):
        first = prepare_engine(bundle, tmp_path)
        content = first.path.read_bytes()
        first.path.write_bytes(content[:-7])
        assert prepare_engine(bundle, tmp_path).was_built and first.path.read_bytes() == content
        timing = next(engines_directory(tmp_path).glob("*.timing"))
        timing.write_bytes(b"of something else")
        first.path.unlink()
        assert prepare_engine(bundle, tmp_path).was_built
