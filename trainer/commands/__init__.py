"""The commands of `soundclr-train`: one module each, with its options (`add_parser`) and its work (`execute`)."""

from __future__ import annotations

from trainer.commands import data, evaluate, export, fit

COMMANDS = (data, fit, evaluate, export)
