"""The commands of `soundclr-train`: one module each, with its options (`add_parser`) and its work (`execute`)."""

from __future__ import annotations

from trainer.commands import evaluate, export, fit

COMMANDS = (fit, evaluate, export)
