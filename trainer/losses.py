"""SoundCLR's losses, numerically safe.

Source: Khosla et al., "Supervised Contrastive Learning" (2020), L_out; Nasiri & Hu, "SoundCLR" (2021), hybrid loss.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def supervised_contrastive_loss(embeddings: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    """Pull clips of one class together, push the others away.

    Computed in float32 whatever the input: in float16 every negative underflows at temperature 0.05.
    Clips with a negative label (foreign sound) are nobody's positives but everybody's negatives.
    Anchors without a positive are left out of the mean rather than counted as zero.

    Args:
        embeddings: unit vectors.  Shape [N, D].
        labels: class of each; negative for none.  Shape [N].

    Returns:
        Scalar; zero with a gradient where no anchor has a positive.
    """
    with torch.autocast(device_type=embeddings.device.type, enabled=False):
        embeddings = embeddings.float()
        similarity = embeddings @ embeddings.T / temperature
        itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        log_probability = similarity.masked_fill(itself, -torch.inf).log_softmax(dim=1).masked_fill(itself, 0.0)
        positive = (labels[:, None] == labels[None, :]) & ~itself & (labels[:, None] >= 0)
        count = positive.sum(dim=1)
        anchors = count > 0
        if not bool(anchors.any()):
            return embeddings.sum() * 0.0
        per_anchor = -(log_probability * positive).sum(dim=1)[anchors] / count[anchors]
        return per_anchor.mean()


def hybrid_loss(contrastive: Tensor, cross_entropy: Tensor, *, alpha: float) -> Tensor:
    """SoundCLR's hybrid: alpha times the contrastive loss plus (1 - alpha) times the cross-entropy."""
    return alpha * contrastive + (1.0 - alpha) * cross_entropy


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy against distributions.  Both [N, C]; float32."""
    return F.cross_entropy(logits.float(), targets.float())
