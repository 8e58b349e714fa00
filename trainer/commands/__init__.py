"""The commands of `soundclr-train`: one module each, with its options (`add_parser`) and its work (`execute`)."""

from __future__ import annotations

from trainer.commands import (
    ablate,
    crossval,
    data,
    evaluate,
    export,
    fit,
    foreign,
    quantise,
    recipe,
    report,
    robustness,
)
from trainer.commands import compile as compile_command

COMMANDS = (
    data,
    recipe,
    fit,
    evaluate,
    crossval,
    ablate,
    report,
    robustness,
    foreign,
    export,
    quantise,
    compile_command,
)
