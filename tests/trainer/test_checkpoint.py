"""Checkpoints: whole or not at all, and never code."""

import os
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.checkpoint import load_checkpoint, save_checkpoint
from trainer.errors import TrainerError

STATE = {"recipe": "{}", "epoch": 3, "history": [{"loss": 1.5}], "model": {"w": torch.arange(6.0).reshape(2, 3)}}


class Bomb:
    """Runs a command when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, ("touch %s" % self.path,)


class Interrupted:
    """Breaks off while it is being written."""

    def __reduce__(self):
        raise KeyboardInterrupt


def test_a_checkpoint_comes_back_as_it_went(tmp_path):
    save_checkpoint(tmp_path / "checkpoint.pt", STATE)
    back = load_checkpoint(tmp_path / "checkpoint.pt")
    assert torch.equal(back["model"]["w"], STATE["model"]["w"])
    assert {name: back[name] for name in ("recipe", "epoch", "history")} == {
        name: STATE[name] for name in ("recipe", "epoch", "history")
    }


def test_nothing_but_the_checkpoint_is_left_in_its_folder(tmp_path):
    save_checkpoint(tmp_path / "checkpoint.pt", STATE)
    save_checkpoint(tmp_path / "checkpoint.pt", STATE)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_an_interrupted_save_leaves_the_last_checkpoint_whole(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, STATE)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, {**STATE, "epoch": 4, "rest": Interrupted()})
    assert load_checkpoint(path)["epoch"] == 3
    save_checkpoint(path, {**STATE, "epoch": 4})  # what the interruption left is in nobody's way
    assert load_checkpoint(path)["epoch"] == 4


def test_a_checkpoint_with_code_in_it_is_refused_and_does_not_run(tmp_path):
    path, mark = tmp_path / "checkpoint.pt", tmp_path / "ran"
    torch.save({"recipe": "{}", "model": Bomb(mark)}, path)
    with pytest.raises(TrainerError, match="refused"):
        load_checkpoint(path)
    assert not mark.exists()


def test_a_bare_pickle_with_code_in_it_is_refused_and_does_not_run(tmp_path):
    path, mark = tmp_path / "checkpoint.pt", tmp_path / "ran"
    path.write_bytes(pickle.dumps({"recipe": "{}", "model": Bomb(mark)}))
    with pytest.raises(TrainerError, match=r"checkpoint\.pt"):
        load_checkpoint(path)
    assert not mark.exists()


def test_another_programs_tensors_are_refused(tmp_path):
    torch.save({"w": torch.zeros(3)}, tmp_path / "weights.pt")
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    for name in ("weights.pt", "tensor.pt"):
        with pytest.raises(TrainerError, match="no recipe"):
            load_checkpoint(tmp_path / name)


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path):
    for path in (tmp_path / "missing.pt", tmp_path):
        with pytest.raises(TrainerError) as raised:
            load_checkpoint(path)
        assert str(path) in str(raised.value)


@given(st.integers(0, 2000))
@settings(max_examples=25, deadline=None)
def test_a_truncated_checkpoint_is_refused(tmp_path_factory, kept):
    folder = tmp_path_factory.mktemp("truncated")
    save_checkpoint(folder / "whole.pt", STATE)
    whole = (folder / "whole.pt").read_bytes()
    (folder / "part.pt").write_bytes(whole[: min(kept, len(whole) - 1)])
    with pytest.raises(TrainerError, match=r"part\.pt"):
        load_checkpoint(folder / "part.pt")


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_other_bytes_are_refused_with_an_error_of_our_own(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("bytes") / "bytes.pt"
    path.write_bytes(content)
    with pytest.raises(TrainerError, match=r"bytes\.pt"):
        load_checkpoint(path)
