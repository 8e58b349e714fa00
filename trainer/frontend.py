"""The front end in torchaudio, equal to the definition in `engines.frontend`."""

from __future__ import annotations

import torch
import torchaudio
from torch import Tensor, nn

from engines.frontend import FrontendSpec


class LogMel(nn.Module):
    """Waveforms to mel power in dB, and mel power in dB to the network's input, in two steps: augmentation that a
    microphone would cause lies between them."""

    def __init__(self, spec: FrontendSpec) -> None:
        super().__init__()
        self.spec = spec
        self.mel = torchaudio.transforms.MelSpectrogram(
            spec.sample_rate_hz,
            spec.n_fft,
            win_length=spec.win_length,
            hop_length=spec.hop_length,
            f_min=spec.fmin_hz,
            f_max=spec.fmax_hz,
            n_mels=spec.n_mels,
            power=spec.power,
            center=spec.center,
            norm=spec.mel_norm,
            mel_scale=spec.mel_scale,
        )

    def power_db(self, samples: Tensor) -> Tensor:
        """Mel power in dB re full scale.  [B, T] -> [B, n_mels, F]."""
        return 10.0 * torch.log10(self.mel(samples).clamp_min(self.spec.amin))

    def network_input(self, power_db: Tensor) -> Tensor:
        """Reference, floor, scale and offset.  [B, n_mels, F] -> [B, 1, n_mels, F]."""
        spec = self.spec
        if spec.reference == "max":
            power_db = power_db - power_db.amax(dim=(1, 2), keepdim=True)
        else:
            power_db = power_db - spec.reference_db
        return (power_db.clamp_min(-spec.top_db) * spec.scale + spec.offset).unsqueeze(1)

    def forward(self, samples: Tensor) -> Tensor:
        """[B, T] -> [B, 1, n_mels, F]."""
        return self.network_input(self.power_db(samples))
