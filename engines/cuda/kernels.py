"""The two kernels of `logmel.cu`, compiled for one front end, with their tables on the device."""

from pathlib import Path

from engines.cuda.device import CudaDevice
from engines.cuda.tables import build_tables, frames_block, kernel_constants
from engines.frontend import FrontendSpec

SOURCE = Path(__file__).with_name("logmel.cu")
MAX_STREAMS = 65535  # of grid.y
_TILE = 32
_WINDOW_BLOCK = 256


class LogMelKernels:
    """Queues the kernels on a device's stream.  Addresses are of device memory; counts are per stream."""

    def __init__(self, device: CudaDevice, spec: FrontendSpec) -> None:
        self._device, self._spec = device, spec
        tables = build_tables(spec)
        module = device.compile(SOURCE.read_text(encoding="ascii"), kernel_constants(spec, tables))
        self._frames = module.get_function("logmel_frames")
        self._frames.prepare("PiiPPPPPfPPii")
        self._window = module.get_function("logmel_window")
        self._window.prepare("PPiiffffP")
        self._tables = tuple(device.place(table) for table in tables)
        self._block = frames_block(spec)
        tiles = ((spec.window_frames + _TILE - 1) // _TILE) * ((spec.n_mels + _TILE - 1) // _TILE)
        self._tiles = tiles

    def compute_frames(
        self,
        ring: int,
        ring_samples: int,
        head: int,
        mel_ring: int,
        frame_db: int,
        ring_frames: int,
        slot: int,
        frames: int,
        streams: int,
    ) -> None:
        """Queue `frames` frames of each stream: samples from `head` on, mel rows from `slot` on.

        Args:
            ring: float32 [streams, ring_samples]; ring_samples even and at least the samples that the frames span.
            head: place of the first frame's first sample; even where the hop is.
            mel_ring: float32 [streams, ring_frames, n_mels], dB; ring_frames at least `frames`.
            frame_db: float32 [streams, ring_frames], the loudest band of each row.
        """
        arguments = (ring, ring_samples, head) + self._tables + (self._spec.amin, mel_ring, frame_db, ring_frames, slot)
        self._device.launch(self._frames, (frames, streams), self._block, *arguments)

    def compute_window(
        self, mel_ring: int, frame_db: int, ring_frames: int, slot: int, network_input: int, streams: int
    ) -> None:
        """Queue the network's input, float32 [streams, n_mels, window_frames], of the rows from `slot` on."""
        spec = self._spec
        levels = (spec.reference_db, spec.top_db, spec.scale, spec.offset)
        self._device.launch(
            self._window,
            (self._tiles, streams),
            _WINDOW_BLOCK,
            *((mel_ring, frame_db, ring_frames, slot) + levels + (network_input,)),
        )
