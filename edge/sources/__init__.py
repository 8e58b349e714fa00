"""Where sound comes from. This package and `capture` stay free of NumPy: the capture child's memory is budgeted."""

from typing import TYPE_CHECKING, Optional

from edge.errors import SourceError

if TYPE_CHECKING:
    from edge.config import SourceConfig
    from edge.sources.base import Source


def source_from_config(
    config: "SourceConfig", *, start_monotonic_s: Optional[float] = None, settings_file: str = ""
) -> "Source":
    """The source that one [[source]] table describes, not yet opened.

    Args:
        config: One [[source]] table.
        start_monotonic_s: Monotonic time of a file's first sample; the moment of opening where None.
        settings_file: A microphone's calibration, whose controls are restored and kept; "" for none.

    Raises:
        SourceError: the table's type is unknown, or its values do not fit together.
    """
    if config.type == "file":
        from edge.sources.file import FileSource

        return FileSource(
            config.name,
            config.path,
            realtime=config.realtime,
            loop=config.loop,
            channel=config.channel,
            start_monotonic_s=start_monotonic_s,
        )
    if config.type == "stdin":
        from edge.sources.stdin import StdinSource

        return StdinSource(
            config.name,
            sample_rate_hz=config.sample_rate_hz,
            channels=config.channels,
            channel=config.channel,
            sample_format=config.sample_format,
        )
    if config.type == "microphone":
        from edge.sources.microphone import MicrophoneSource

        return MicrophoneSource(
            config.name,
            device=config.device,
            sample_rate_hz=config.sample_rate_hz,
            channels=config.channels,
            channel=config.channel,
            settings_file=settings_file,
        )
    raise SourceError(
        "source %s: type is %r, expected microphone, file or stdin; correct it in its [[source]] table"
        % (config.name, config.type)
    )
