"""The commands of `soundclr-edge`: one module each, with its options (`add_parser`) and its work (`execute`).

What a command works with is imported when it runs: the others do not wait for it.
"""

from edge.commands import bench, calibrate, check, classify, clips, devices, history, page, retire, run, watch
from edge.commands import compile as compile_command

COMMANDS = (run, classify, check, devices, calibrate, watch, history, clips, compile_command, bench, page, retire)
