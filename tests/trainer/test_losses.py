"""SoundCLR's losses against a loop, finite differences and the cases that break the usual code."""

import math

import pytest
import torch
import torch.nn.functional as F

from trainer.losses import hybrid_loss, neighbour_accuracy, soft_cross_entropy, supervised_contrastive_loss


def embeddings(count, dimension=6, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, dimension, generator=generator, dtype=dtype), dim=1)


def loop_written_loss(vectors, labels, temperature):
    """Khosla et al. (2020), L_out, anchor by anchor in float64."""
    vectors, losses = vectors.double(), []
    for i, label in enumerate(labels):
        positives = [j for j, other in enumerate(labels) if j != i and other == label and label >= 0]
        if not positives:
            continue
        others = [torch.exp(vectors[i] @ vectors[j] / temperature) for j in range(len(labels)) if j != i]
        losses.append(
            -sum(torch.log(torch.exp(vectors[i] @ vectors[j] / temperature) / sum(others)) for j in positives)
            / len(positives)
        )
    return sum(losses) / len(losses)


@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 2], [0, 0, 1, -1, -1, -1], [3, 3]])
@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
def test_value_and_gradient_equal_the_loop(labels, temperature):
    ours = embeddings(len(labels)).requires_grad_()
    reference = embeddings(len(labels)).requires_grad_()
    loss = supervised_contrastive_loss(ours, torch.tensor(labels), temperature=temperature)
    expected = loop_written_loss(reference, labels, temperature)
    loss.backward()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4, abs=1e-5)
    torch.testing.assert_close(ours.grad, reference.grad, rtol=1e-3, atol=1e-4)


def test_gradient_passes_gradcheck():
    labels = torch.tensor([0, 0, 1, 1, -1])
    # computed in float32, so a coarse step and tolerance
    assert torch.autograd.gradcheck(
        lambda z: supervised_contrastive_loss(z, labels, temperature=1.0),
        embeddings(5, dtype=torch.float64).requires_grad_(),
        eps=1e-2,
        atol=1e-2,
    )


def test_anchors_without_a_positive_do_not_dilute_the_mean():
    vectors = embeddings(4)
    alone = supervised_contrastive_loss(vectors, torch.tensor([0, 0, 1, 2]), temperature=0.1)
    assert alone.item() == pytest.approx(loop_written_loss(vectors, [0, 0, 1, 2], 0.1).item(), rel=1e-4)
    pair = vectors @ vectors.T / 0.1
    pair.fill_diagonal_(-torch.inf)
    chances = pair.log_softmax(dim=1)
    assert alone.item() == pytest.approx(-(chances[0, 1] + chances[1, 0]).item() / 2, rel=1e-4)  # of two, not of four


@pytest.mark.parametrize(
    ("labels", "expected"),
    [([0, 0, 1], 2 / 3), ([0, -1, -1], 0.0), ([-1, -1, -1], 0.0), ([0, 1, 0], 0.0), ([0, 0, -1], 1.0)],
)
def test_nearest_neighbours_are_counted_among_the_labelled(labels, expected):
    """The first two lie close together, the third nearer to the second than to the first."""
    angles = torch.tensor([0.0, 0.2, 0.9])
    vectors = torch.stack([angles.cos(), angles.sin()], dim=1)
    assert neighbour_accuracy(vectors, torch.tensor(labels)).item() == pytest.approx(expected)


@pytest.mark.parametrize("labels", [[-1, -1, -1, -1], [0, 1, 2, 3], [5]])
def test_without_any_positive_the_loss_is_zero_with_a_zero_gradient(labels):
    vectors = embeddings(len(labels)).requires_grad_()
    loss = supervised_contrastive_loss(vectors, torch.tensor(labels), temperature=0.1)
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(vectors.grad, torch.zeros_like(vectors))


def test_foreign_clips_are_negatives_of_everybody():
    vectors = F.normalize(torch.ones(4, 6) + 0.1 * embeddings(4), dim=1)  # all alike: hard to tell apart
    with_foreign = supervised_contrastive_loss(vectors, torch.tensor([0, 0, -1, -1]), temperature=0.1)
    without = supervised_contrastive_loss(vectors[:2], torch.tensor([0, 0]), temperature=0.1)
    assert without.item() == pytest.approx(0.0, abs=1e-6)  # nothing to be told apart from
    assert with_foreign.item() == pytest.approx(math.log(3.0), abs=0.1)  # one positive among three


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_of_separated_clusters_stays_finite(dtype):
    """With temperature 0.05 every negative of a separated cluster underflows in float16."""
    vectors = torch.eye(2).repeat_interleave(4, dim=0).to(dtype).requires_grad_()
    labels = torch.tensor([0] * 4 + [1] * 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = supervised_contrastive_loss(vectors, labels, temperature=0.05)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(math.log(3.0), abs=1e-3)  # three positives alike, negatives gone
    assert torch.isfinite(vectors.grad).all()


def test_the_order_of_clips_does_not_matter():
    vectors, labels = embeddings(6), torch.tensor([0, 0, 1, 1, 2, -1])
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    assert supervised_contrastive_loss(vectors[order], labels[order], temperature=0.1).item() == pytest.approx(
        supervised_contrastive_loss(vectors, labels, temperature=0.1).item(), rel=1e-5
    )


def test_closer_positives_cost_less():
    labels = torch.tensor([0, 0, 1, 1])
    apart = torch.eye(4)
    together = torch.tensor([[1.0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]])
    assert supervised_contrastive_loss(together, labels, temperature=0.1) < supervised_contrastive_loss(
        apart, labels, temperature=0.1
    )


def test_soft_cross_entropy_equals_its_definition():
    logits, targets = torch.randn(5, 4, generator=torch.Generator().manual_seed(1)), torch.full((5, 4), 0.25)
    expected = -(targets * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(soft_cross_entropy(logits, targets), expected)
    hard = torch.tensor([0, 1, 2, 3, 0])
    torch.testing.assert_close(soft_cross_entropy(logits, F.one_hot(hard, 4)), F.cross_entropy(logits, hard))
    assert soft_cross_entropy(logits.half(), targets).dtype == torch.float32


@pytest.mark.parametrize(("alpha", "expected"), [(0.0, 3.0), (1.0, 2.0), (0.25, 2.75)])
def test_hybrid_weighs_the_contrastive_part_by_alpha(alpha, expected):
    assert hybrid_loss(torch.tensor(2.0), torch.tensor(3.0), alpha=alpha).item() == pytest.approx(expected)
