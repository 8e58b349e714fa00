"""The command line: `soundclr-edge` or `python -m edge`.

Results go to stdout, logs to stderr. Exit status: 0 done, 1 the thing asked for failed, 2 unusable input or
configuration (one line, no traceback), 70 a fault inside.
"""

import argparse
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from edge import __version__
from edge.config import SHIPPED_BUNDLE, Config, NodeConfig, SourceConfig, load_config, with_start_time
from edge.errors import BrokerError, ConfigError, EdgeError
from edge.journal import log_formatter
from edge.sources.start_time import FROM_FILE
from engines.errors import EngineError

_LOGGER = logging.getLogger(__name__)
EXIT_DONE, EXIT_FAILED, EXIT_UNUSABLE, EXIT_FAULT = 0, 1, 2, 70
_DEFAULT_CONFIG = "soundclr-edge.toml"


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(
        prog="soundclr-edge",
        description="A microphone on a street corner that says what it hears, honestly, to anyone's dashboard.",
    )
    parser.add_argument("--version", action="version", version="%(prog)s " + __version__)
    parser.add_argument(
        "--log-level",
        default="info",
        choices=["debug", "info", "warning", "error"],
        help="least severe log line on stderr (default: %(default)s)",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.required = True
    _add_run(commands)
    _add_classify(commands)
    _add_check(commands)
    _add_devices(commands)
    _add_watch(commands)
    _add_history(commands)
    _add_compile(commands)
    _add_bench(commands)
    _add_retire(commands)
    return parser


def main(argv: Optional[List[str]] = None) -> int:
    """Run one command.  Returns the exit status."""
    from edge.history import joined_times

    arguments = build_parser().parse_args(joined_times(sys.argv[1:] if argv is None else argv))
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(log_formatter())
    logging.basicConfig(level=arguments.log_level.upper(), handlers=[handler])
    try:
        return int(_COMMANDS[arguments.command](arguments))
    except (EdgeError, EngineError) as error:
        sys.stderr.write("soundclr-edge: %s\n" % str(error).replace("\n", "\\n"))
        return EXIT_UNUSABLE
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # the reader of our results has gone (head, less): nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except Exception:  # the boundary: everything that nobody expected, with its traceback for the log
        _LOGGER.exception("a fault inside; please report the lines above")
        return EXIT_FAULT


def _add_run(commands: Any) -> None:
    run = commands.add_parser("run", help="listen and publish, until stopped")
    _add_config(run)
    _add_state_dir(run)
    _add_start_time(run)
    run.add_argument("--duration-s", type=_positive, default=None, help="stop by itself after this time")


def _add_classify(commands: Any) -> None:
    classify = commands.add_parser("classify", help="say what recordings hold, by the daemon's own code")
    classify.add_argument("files", nargs="+", metavar="FILE", help="WAV, FLAC or Ogg")
    classify.add_argument("--json", action="store_true", help="one JSON object a line: each hop, event and file")
    classify.add_argument(
        "--bundle",
        type=Path,
        default=None,
        help="folder of the model (default: the configuration's, else %s)" % SHIPPED_BUNDLE,
    )
    classify.add_argument("--hop-s", type=_positive, default=None, help="seconds from one window to the next")
    _add_start_time(classify)
    _add_config(classify)


def _add_check(commands: Any) -> None:
    check = commands.add_parser("check", help="try configuration, model, microphone and broker; say what to mend")
    _add_config(check)
    _add_state_dir(check)
    check.add_argument("--json", action="store_true", help="one JSON object for machines")


def _add_devices(commands: Any) -> None:
    devices = commands.add_parser("devices", help="list the microphones that PortAudio sees")
    devices.add_argument("--json", action="store_true", help="one JSON object a line")


def _add_watch(commands: Any) -> None:
    watch = commands.add_parser("watch", help="show what a broker's subscribers receive from nodes")
    _add_config(watch)
    watch.add_argument("--host", default=None, help="broker (default: the configuration's, else 127.0.0.1)")
    watch.add_argument("--port", type=int, default=None, help="its port")
    watch.add_argument("--root", default=None, help="first level of the topics")
    watch.add_argument("--duration-s", type=_positive, default=None, help="stop by itself after this time")


def _add_history(commands: Any) -> None:
    history = commands.add_parser("history", help="show events and summaries of the last weeks, or send them again")
    moment = "2026-11-01, 2026-11-01T06:30:00Z (UTC without an offset) or -2h (s, m, h, d, w)"
    history.add_argument("--from", dest="begin", metavar="TIME", default=None, help="not before: " + moment)
    history.add_argument("--to", dest="end", metavar="TIME", default=None, help="before; a day is meant up to its end")
    history.add_argument("--source", default=None, help="of this source only")
    history.add_argument("--type", default=None, help="event, summary, ... only")
    history.add_argument("--label", default=None, help="of this class only")
    history.add_argument("--json", action="store_true", help="one JSON object a line")
    history.add_argument(
        "--republish", action="store_true", help="have the daemon send them once more; needs --from, shows nothing"
    )
    _add_config(history)
    _add_state_dir(history)


def _add_compile(commands: Any) -> None:
    compile_ = commands.add_parser("compile", help="build TensorRT's engine for this device; `run` does so by itself")
    _add_config(compile_)
    _add_state_dir(compile_)
    compile_.add_argument(
        "--bundle", type=Path, default=None, help="folder of the model (default: the configuration's)"
    )
    compile_.add_argument(
        "--precision",
        default=None,
        choices=["auto", "fp32", "fp16", "int8"],
        help="what to compute in; what fails the self-test falls back to fp32 (default: as configured, else auto)",
    )
    compile_.add_argument(
        "--workspace-mib",
        type=_workspace_mib,
        default=None,
        help="scratch memory (default: the configuration's, else 128)",
    )
    compile_.add_argument(
        "--timeout-s", type=_positive, default=1800.0, help="give up after this time (default: %(default)g)"
    )
    compile_.add_argument("--again", action="store_true", help="build although an engine is there, or was refused")


def _add_bench(commands: Any) -> None:
    bench = commands.add_parser("bench", help="measure what hearing costs on this machine, stage by stage")
    bench.add_argument("--bundle", type=Path, default=None, help="folder of the model (default: the configuration's)")
    bench.add_argument(
        "--seconds", type=_positive, default=300.0, help="of sound, heard as fast as it goes (default: %(default)g)"
    )
    bench.add_argument("--json", action="store_true", help="one JSON object for machines")
    _add_config(bench)
    _add_state_dir(bench)


def _add_retire(commands: Any) -> None:
    retire = commands.add_parser(
        "retire", help="take back what this node, stopped for good, has retained at the broker"
    )
    _add_config(retire)
    retire.add_argument("--force", action="store_true", help="even if the broker has the node as online")


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        default=None,
        help="TOML file (default: %s in $CONFIGURATION_DIRECTORY or /etc/soundclr-edge)" % _DEFAULT_CONFIG,
    )


def _add_state_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=None,
        help="folder that outlasts restarts (default: $STATE_DIRECTORY, else ~/.local/state/soundclr-edge)",
    )


def _add_start_time(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--start-time",
        default="",
        metavar="TIME",
        help='when a recording began, as 2026-10-01T12:34:56Z, or "file": the time in its name or header '
        "(default: the configuration's, else now)",
    )


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("%s; expected a number above 0" % text)
    return value


def _workspace_mib(text: str) -> int:
    value = int(text)
    if not 16 <= value <= 4096:
        raise argparse.ArgumentTypeError("%s; expected 16 to 4096, and 64 to 256 on a Jetson" % text)
    return value


def _found_config(given: Optional[Path]) -> Optional[Path]:
    if given is not None:
        return given
    folder = Path(os.environ.get("CONFIGURATION_DIRECTORY", "/etc/soundclr-edge").split(":")[0])
    return folder / _DEFAULT_CONFIG if (folder / _DEFAULT_CONFIG).exists() else None


def _required_config(given: Optional[Path]) -> Config:
    path = _found_config(given)
    if path is None:
        raise ConfigError(
            "no configuration: neither --config nor /etc/soundclr-edge/%s is there; copy "
            "systemd/soundclr-edge.example.toml and give it with --config" % _DEFAULT_CONFIG
        )
    return load_config(path)


def _optional_config(given: Optional[Path]) -> Config:
    path = _found_config(given)
    return load_config(path) if path is not None else Config(NodeConfig("node"), (SourceConfig("none", "stdin"),))


def _run(arguments: argparse.Namespace) -> int:
    from edge.installation import find_state_directory
    from edge.service import run_service

    return run_service(
        lambda: with_start_time(_required_config(arguments.config), arguments.start_time),
        find_state_directory(arguments.state_dir),
        config_path=_found_config(arguments.config),
        duration_s=arguments.duration_s,
    )


def _classify(arguments: argparse.Namespace) -> int:
    from edge.classify import classify_files
    from edge.installation import find_state_directory
    from edge.scorer_choice import choose_scorer
    from engines.bundle import load_bundle

    config = _optional_config(arguments.config)
    if len(arguments.files) > 1 and arguments.start_time not in ("", FROM_FILE):
        given = (arguments.start_time, len(arguments.files), FROM_FILE)
        raise ConfigError("--start-time %s for %d files; give one file, or --start-time %s" % given)
    if arguments.hop_s is not None:
        config = config._replace(model=config.model._replace(hop_s=arguments.hop_s))
    bundle = load_bundle(arguments.bundle or Path(config.model.bundle))
    with choose_scorer(bundle, config.model, find_state_directory()).scorer as scorer:
        failed = classify_files(
            arguments.files,
            bundle,
            scorer,
            config,
            as_json=arguments.json,
            results=sys.stdout,
            complaints=sys.stderr,
            start_time=arguments.start_time,
        )
    return EXIT_UNUSABLE if failed else EXIT_DONE


def _check(arguments: argparse.Namespace) -> int:
    from edge.check import run_checks, write_checks
    from edge.installation import find_service_state_directory, known_installation_id

    results = run_checks(
        _found_config(arguments.config),
        known_installation_id(arguments.state_dir),
        find_service_state_directory(arguments.state_dir),
    )
    write_checks(results, sys.stdout, as_json=arguments.json)
    return EXIT_DONE if all(result.ok for result in results) else EXIT_FAILED


def _devices(arguments: argparse.Namespace) -> int:
    from edge.check import write_devices

    return EXIT_DONE if write_devices(sys.stdout, sys.stderr, as_json=arguments.json) else EXIT_FAILED


def _watch(arguments: argparse.Namespace) -> int:
    from edge.watch import Watcher

    mqtt = _optional_config(arguments.config).mqtt
    given = {name: getattr(arguments, name) for name in ("host", "port", "root")}
    mqtt = mqtt._replace(**{name: value for name, value in given.items() if value is not None})
    watcher = Watcher(mqtt)
    watcher.run(arguments.duration_s)
    sys.stdout.write(watcher.summary() + "\n")
    return EXIT_DONE


def _history(arguments: argparse.Namespace) -> int:
    from edge.history import Wanted, acting_as_owner, moment_from_text, republish, write_history
    from edge.installation import find_state_directory

    now_s, given = time.time(), (arguments.begin, arguments.end)
    begin, end = (
        None if text is None else moment_from_text(text, now_s, is_end=is_end)
        for text, is_end in zip(given, (False, True))
    )
    wanted = Wanted(begin, end, arguments.source, arguments.type, arguments.label)
    if arguments.republish and begin is None:
        raise ConfigError("--republish without --from; expected from when on, for instance --from -2h")
    directory = find_state_directory(arguments.state_dir)
    with acting_as_owner(directory):
        if arguments.republish:
            count = republish(directory, wanted)
            said = '{"republished":%d}' if arguments.json else "%d messages: the daemon sends them again, as replayed"
            sys.stdout.write(said % count + "\n")
        else:
            count = write_history(directory, wanted, sys.stdout, as_json=arguments.json)
    return EXIT_DONE if count else EXIT_FAILED


def _compile(arguments: argparse.Namespace) -> int:
    from edge.compile import compile_for_this_device
    from edge.installation import find_service_state_directory
    from engines.bundle import load_bundle
    from engines.compile import CompileOptions

    model = _optional_config(arguments.config).model
    engine = compile_for_this_device(
        load_bundle(arguments.bundle or Path(model.bundle)),
        find_service_state_directory(arguments.state_dir),
        CompileOptions(
            arguments.precision or model.precision,
            arguments.workspace_mib or model.workspace_mib,
            arguments.timeout_s,
            arguments.again,
        ),
    )
    how = "built in %.0f s" % engine.build_s if engine.was_built else "was there"
    sys.stdout.write("%s\n%s, %s\n" % (engine.path, engine.describe(), how))
    return EXIT_DONE


def _bench(arguments: argparse.Namespace) -> int:
    from edge.bench import run_bench
    from edge.bench_table import write_bench
    from edge.installation import find_service_state_directory
    from engines.bundle import load_bundle

    config = _optional_config(arguments.config)
    bundle = load_bundle(arguments.bundle or Path(config.model.bundle))
    state_directory = find_service_state_directory(arguments.state_dir)
    write_bench(run_bench(bundle, config, state_directory, arguments.seconds), sys.stdout, as_json=arguments.json)
    return EXIT_DONE


def _retire(arguments: argparse.Namespace) -> int:
    from edge.retire import StillOnlineError, retire_node

    try:
        done = retire_node(_required_config(arguments.config), force=arguments.force)
    except (BrokerError, StillOnlineError) as error:
        sys.stderr.write("soundclr-edge: %s\n" % error)
        return EXIT_FAILED
    for topic in done.cleared:
        print("cleared  %s" % topic)
    for topic in done.kept:
        print("KEPT     %s: the broker's ACL does not let this user write it" % topic)
    if not done.cleared and not done.kept:
        print("nothing was retained that this user may read")
    return EXIT_FAILED if done.kept else EXIT_DONE


_COMMANDS: Dict[str, Callable[[argparse.Namespace], int]] = {
    "run": _run,
    "classify": _classify,
    "check": _check,
    "devices": _devices,
    "watch": _watch,
    "history": _history,
    "compile": _compile,
    "bench": _bench,
    "retire": _retire,
}
