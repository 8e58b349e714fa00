"""The commands of `soundclr-train`: one module each, with its options (`add_parser`) and its work (`execute`)."""

from __future__ import annotations

from trainer.commands import compile as compile_command
from trainer.commands import crossval, data, evaluate, export, fit, foreign, quantise, report, robustness

COMMANDS = (data, fit, evaluate, crossval, report, robustness, foreign, export, quantise, compile_command)
