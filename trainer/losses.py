"""SoundCLR's losses, numerically safe, and the same for one process as for several that share a batch.

Source: Khosla et al., "Supervised Contrastive Learning" (2020), L_out; Nasiri & Hu, "SoundCLR" (2021), hybrid loss.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.parallel import ALONE, Group

NO_PART = -2  # label of a row that is neither anchor nor positive nor negative; any other negative one is a negative


def supervised_contrastive_loss(
    embeddings: Tensor, labels: Tensor, *, temperature: float | Tensor, group: Group = ALONE, length: int = 0
) -> Tensor:
    """Pull clips of one class together, push the others away.

    Computed in float32 whatever the input: in float16 every negative underflows at temperature 0.05.
    Clips with a negative label (foreign sound) are nobody's positives but everybody's negatives, but for NO_PART.
    Anchors without a positive are left out of the mean rather than counted as zero.

    With several processes each one's clips are compared with those of all. The mean of the processes' losses is the
    loss of the whole batch, and so is the mean of their gradients, which DistributedDataParallel takes.

    Args:
        embeddings: this process's unit vectors.  Shape [N, D].
        labels: class of each; negative for none.  Shape [N].
        temperature: a number, or a scalar that is learnt.
        length: the most rows that any process has (with several processes).

    Returns:
        Scalar; zero with a zero gradient where no anchor has a positive.
    """
    with torch.autocast(device_type=embeddings.device.type, enabled=False):
        embeddings = embeddings.float()
        others = group.gather(embeddings, length)
        other_labels = group.gather(labels, length, fill=NO_PART)
        similarity = embeddings @ others.T / temperature
        own = group.rank * length + torch.arange(len(labels), device=labels.device)
        hidden = own[:, None] == torch.arange(len(others), device=labels.device)[None, :]
        hidden = hidden | (other_labels == NO_PART)[None, :]
        log_probability = similarity.masked_fill(hidden, -torch.inf).log_softmax(dim=1).masked_fill(hidden, 0.0)
        positive = (labels[:, None] == other_labels[None, :]) & ~hidden & (labels[:, None] >= 0)
        count = positive.sum(dim=1)
        per_anchor = -(log_probability * positive).sum(dim=1) / count.clamp_min(1)
        anchors = group.total((count > 0).sum())
        return per_anchor.sum() * group.size / anchors.clamp_min(1)


def hybrid_loss(contrastive: Tensor, cross_entropy: Tensor, *, alpha: float) -> Tensor:
    """SoundCLR's hybrid: alpha times the contrastive loss plus (1 - alpha) times the cross-entropy."""
    return alpha * contrastive + (1.0 - alpha) * cross_entropy


def soft_cross_entropy(
    logits: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, group: Group = ALONE
) -> Tensor:
    """Cross-entropy against distributions.  Both [N, C]; float32; the mean of the processes' losses is the batch's."""
    loss = F.cross_entropy(logits.float(), targets.float(), label_smoothing=label_smoothing)
    if group.size == 1:
        return loss
    rows = torch.tensor(float(len(logits)), device=logits.device)
    return loss * rows * group.size / group.total(rows)


def distillation_loss(logits: Tensor, soft: Tensor, *, temperature: float, group: Group = ALONE) -> Tensor:
    """Kullback-Leibler divergence of the student's answers from the teachers', both softened, times temperature^2.

    Source: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network" (2015), section 2: the square keeps
    the gradient's size whatever the temperature.

    Args:
        logits: the student's.  Shape [N, C].
        soft: the teachers' probabilities at this temperature.  Shape [N, C].
    """
    cross = soft_cross_entropy(logits.float() / temperature, soft, group=group)
    return (cross - soft_cross_entropy(soft.clamp_min(1e-12).log(), soft, group=group)) * temperature**2


def neighbour_accuracy(embeddings: Tensor, labels: Tensor) -> Tensor:
    """Share of labelled clips whose nearest neighbour among the labelled ones is of their class; 0 for fewer than two.

    Args:
        embeddings: unit vectors.  Shape [N, D].
        labels: class of each; negative for none.  Shape [N].
    """
    embeddings = embeddings.detach().float()
    labelled = labels >= 0
    similarity = embeddings @ embeddings.T
    similarity = similarity.masked_fill(~labelled[None, :], -torch.inf).fill_diagonal_(-torch.inf)
    hits = (labels[similarity.argmax(dim=1)] == labels) & labelled & (labelled.sum() > 1)
    return hits.sum().float() / labelled.sum().clamp_min(1)
