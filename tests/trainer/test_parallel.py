"""Several processes on gloo: the same gradients, batches and losses as one process has."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from tests.trainer import test_fit
from tests.trainer.test_fit import TINY, tiny_fit
from trainer.errors import TrainerError
from trainer.losses import NO_PART, soft_cross_entropy, supervised_contrastive_loss
from trainer.model import Output
from trainer.parallel import ALONE, Group, join_group
from trainer.recipe import Recipe
from trainer.stages import compute_losses, plan_stages

root = test_fit.root  # the fixture
REPOSITORY = Path(__file__).resolve().parents[2]
LABELINGS = {
    "positives on both": [0, 0, 1, 1, 2, 2, 0, 1, -1, -1],
    "positives across the processes alone": [0, 0, 1, 1, 2, 2, 3, 3, 4, 4],
    "one process has no anchor": [0, -1, 0, NO_PART, 1, -1, 1, -1, 2, NO_PART],
    "no positive anywhere": [0, 1, 2, 3, 4, -1, -1, -1, NO_PART, 5],
    "an odd number of rows": [0, 0, 1, 1, 0, 2, 2, -1, 1],
}
TOLERANCE = 1e-6


class Tiny(nn.Module):
    """A network without batch norm: its gradients depend on the batch through the losses alone."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.body, self.head, self.classifier = nn.Linear(12, 8), nn.Linear(8, 6), nn.Linear(8, 6)

    def forward(self, rows):
        features = torch.tanh(self.body(rows))
        return Output(self.classifier(features), F.normalize(self.head(features), dim=1))


def batch(labels):
    generator = torch.Generator().manual_seed(3)
    rows = torch.randn(len(labels), 12, generator=generator)
    targets = torch.softmax(torch.randn(len(labels), 6, generator=generator), dim=1)
    return rows, targets, torch.tensor(labels)


def gradients(labels, group):
    """Of the hybrid loss, as Fit computes it; and the loss that the group saw."""
    model, recipe = Tiny(), Recipe(alpha=0.7, temperature=0.1)
    rows, targets, numbers = batch(labels)
    share = slice(group.rank, None, group.size)
    wrapped = group.wrap(model)  # to be kept: its hooks average the gradients
    output = wrapped(rows[share])
    length = -(-len(labels) // group.size)
    loss, measures = compute_losses(
        output, targets[share], numbers[share], plan_stages(recipe)[0], recipe, group=group, length=length
    )
    loss.backward()
    mean = group.total(measures)[:3] / group.size
    return {name: p.grad.tolist() for name, p in model.named_parameters()}, mean.tolist()


def run_processes(size, body, arguments, tmp_path):
    """Run `body(group, arguments) -> JSON` of this module in a group of processes.  Returns each one's answer."""
    script = (
        "import json, sys; sys.path[:0] = [%r, %r]; import torch; torch.set_num_threads(1)\n"
        "import test_parallel as t\n"
        "from trainer.parallel import join_group\n"
        "with join_group('cpu') as (group, device):\n"
        "    answer = t.%s(group, *json.loads(sys.argv[1]))\n"
        "    open(sys.argv[2] + str(group.rank), 'w').write(json.dumps(answer))\n"
    ) % (str(REPOSITORY), str(Path(__file__).parent), body)
    store = tmp_path / "answers"
    port = str(free_port())
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, json.dumps(arguments), str(store)],
            env={
                **os.environ,
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(size),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
            },
        )
        for rank in range(size)
    ]
    try:
        codes = [process.wait(timeout=600) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert codes == [0] * size
    return [json.loads((tmp_path / ("answers%d" % rank)).read_text()) for rank in range(size)]


def free_port():
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def gradients_of_all(group, *labelings):
    return [gradients(labels, group) for labels in labelings]


@pytest.mark.parametrize("size", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_gradients_of_several_processes_equal_those_of_one(tmp_path, size):
    answers = run_processes(size, "gradients_of_all", list(LABELINGS.values()), tmp_path)
    for number, (name, labels) in enumerate(LABELINGS.items()):
        expected, measures = gradients(labels, ALONE)
        for answer in answers:
            theirs, their_measures = answer[number]
            assert their_measures == pytest.approx(measures, abs=TOLERANCE), name
            # float32: where a gradient is far above 1, so is the last bit of its largest number
            tolerance = TOLERANCE * max(1.0, max(torch.tensor(value).abs().max().item() for value in expected.values()))
            for parameter, value in expected.items():
                difference = (torch.tensor(theirs[parameter]) - torch.tensor(value)).abs().max().item()
                assert difference <= tolerance, (name, parameter)


def test_the_gradient_of_gathered_rows_reaches_their_owners(tmp_path):
    for rank, (rows, gradient) in enumerate(run_processes(2, "gathered", [], tmp_path)):
        assert rows == [[0.0, 1.0], [0.0, 1.0], [1.0, 2.0], [0.0, 0.0]]  # rank 1 has one row less
        # both processes weigh row i of the whole by i + 1
        assert gradient == [[2.0, 2.0], [4.0, 4.0]][: 2 - rank] if rank == 0 else gradient == [[6.0, 6.0]]


def gathered(group):
    mine = torch.tensor([[float(group.rank), group.rank + 1.0]] * (2 - group.rank), requires_grad=True)
    everything = group.gather(mine, 2)
    (everything * torch.tensor([[1.0], [2.0], [3.0], [4.0]])).sum().backward()
    return everything.tolist(), mine.grad.tolist()


TWO_STAGES = TINY._replace(scheme="supcon", epochs=2, classifier_epochs=2, batch=6, foreign_batch=2)


def train_in_two_stages(group, root, folder, stop_after):
    """What each process has at the end: a digest of its averaged network."""
    fit = tiny_fit(Path(root), TWO_STAGES, folder, group=group)
    begun = fit.epoch

    def stop(epoch, step, means):
        if epoch == stop_after:
            raise InterruptedError

    try:
        fit.run(stop)
    except InterruptedError:
        return begun, ""
    content = b"".join(values.numpy().tobytes() for values in fit.averaged.state_dict().values())
    return begun, hashlib.sha256(content).hexdigest()


def test_two_stages_in_two_processes_are_one_network_and_resume_exactly(tmp_path, root):
    whole = run_processes(2, "train_in_two_stages", [str(root), "whole", -1], tmp_path)
    assert whole[0] == whole[1] and whole[0][0] == 0
    run_processes(2, "train_in_two_stages", [str(root), "stopped", 3], tmp_path)  # in the classifier's last epoch
    resumed = run_processes(2, "train_in_two_stages", [str(root), "stopped", -1], tmp_path)
    assert [begun for begun, _ in resumed] == [3, 3]
    assert [digest for _, digest in resumed] == [digest for _, digest in whole]


def resume_apart(group, root):
    """A second machine whose disk has no checkpoint."""
    try:
        tiny_fit(Path(root), TWO_STAGES, "stopped" if group.leads else "elsewhere", group=group)
    except TrainerError as error:
        return str(error)
    return ""


def test_machines_that_begin_at_different_epochs_say_so(tmp_path, root):
    run_processes(2, "train_in_two_stages", [str(root), "stopped", 1], tmp_path)
    said = run_processes(2, "resume_apart", [str(root)], tmp_path)
    assert all("begins after epoch %d" % epoch in line for epoch, line in zip((1, 0), said, strict=True))


def test_a_process_of_its_own_is_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join_group("cpu") as (group, device):
        assert group == ALONE == Group(0, 1) and group.leads and device == "cpu"
        assert not dist.is_initialized()
        model = Tiny()
        assert group.wrap(model) is model
        rows = torch.ones(2, 3)
        assert group.gather(rows, 5) is rows


def test_cross_entropy_weighs_rows_and_not_processes():
    rows, targets, _ = batch([0] * 5)
    whole = soft_cross_entropy(rows[:, :6], targets)
    parts = [soft_cross_entropy(rows[i::2, :6], targets[i::2]) * len(rows[i::2]) for i in range(2)]
    assert whole.item() == pytest.approx(sum(parts).item() / 5, rel=1e-5)


def test_rows_without_a_part_change_nothing():
    rows, _, _ = batch([0] * 6)
    vectors = F.normalize(rows, dim=1)
    labels = torch.tensor([0, 0, 1, 1, NO_PART, NO_PART])
    given = supervised_contrastive_loss(vectors, labels, temperature=0.1)
    expected = supervised_contrastive_loss(vectors[:4], labels[:4], temperature=0.1)
    assert given.item() == pytest.approx(expected.item(), rel=1e-6)
    as_negatives = supervised_contrastive_loss(vectors, labels.clamp_min(-1), temperature=0.1)
    assert as_negatives.item() > given.item()
