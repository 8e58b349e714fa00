"""`soundclr-edge calibrate`"""

import argparse
import datetime as dt
import getpass
import os
import sys
import time
from typing import List, Optional, Tuple

from edge.commands.options import Commands, add_config, add_state_dir, positive, required_config
from edge.config import Config, SourceConfig
from edge.errors import ConfigError, complaint
from edge.exit_status import EXIT_DONE, EXIT_FAILED

_LEVELS_DB = (94.0, 114.0)
_OFF_NOMINAL_DB = 1.0  # certificates say 93.9 or 114.05
_MAX_CHARACTERS = 200


def add_parser(commands: Commands) -> None:
    """Offer the command."""
    calibrate = commands.add_parser(
        "calibrate",
        help="measure how loud full scale is, with a sound calibrator on the microphone; the daemon must not run",
    )
    add_config(calibrate)
    add_state_dir(calibrate)
    calibrate.add_argument("--source", default=None, help="which [[source]] (default: the only microphone)")
    given = calibrate.add_mutually_exclusive_group()
    given.add_argument(
        "--level-db",
        type=_level_db,
        action="append",
        default=None,
        metavar="DB",
        help="the calibrator's level, 94 or 114 or what its certificate says; twice for both in turn, which proves "
        "that no automatic gain is at work",
    )
    given.add_argument(
        "--sensitivity-dbfs-at-94",
        type=_sensitivity,
        default=None,
        metavar="DBFS",
        help="no calibrator: what the microphone's data sheet says of 94 dB, 0 dBFS being a full-scale sine; write "
        "--sensitivity-dbfs-at-94=-26",
    )
    given.add_argument("--show", action="store_true", help="show this and former calibrations; measures nothing")
    calibrate.add_argument(
        "--correction-db",
        type=_correction_db,
        default=0.0,
        metavar="DB",
        help="added to each level, from the microphone's table for this calibrator (default: %(default)g)",
    )
    calibrate.add_argument("--operator", default=None, help="who calibrates (default: the user's name)")
    calibrate.add_argument("--instrument", default="", help="the calibrator, or the data sheet: make, type, number")
    calibrate.add_argument("--date", type=_date, default=None, help="today, YYYY-MM-DD, where the clock is not set")
    calibrate.add_argument("--duration-s", type=_duration_s, default=10.0, help="to measure (default: %(default)g)")
    calibrate.add_argument("--wait-s", type=positive, default=60.0, help="for a tone (default: %(default)g)")
    calibrate.add_argument("--json", action="store_true", help="one JSON object a line")
    calibrate.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from edge.calibration import CalibrationError, load_record
    from edge.calibration.listening import Wanted
    from edge.calibration.listing import write_history, write_record
    from edge.calibration.session import calibrate
    from edge.errors import SourceError
    from edge.installation import become_owner_of, find_service_state_directory

    config = required_config(arguments.config)
    source = _chosen_source(config, arguments.source)
    directory = find_service_state_directory(arguments.state_dir)
    operator = _text(arguments.operator or _user(), "--operator")
    instrument = _text(arguments.instrument, "--instrument")
    become_owner_of(directory)
    try:
        if arguments.show:
            return (
                EXIT_DONE if write_history(directory, source.name, sys.stdout, as_json=arguments.json) else EXIT_FAILED
            )
        if not arguments.level_db and arguments.sensitivity_dbfs_at_94 is None:
            raise ConfigError(
                "neither --level-db nor --sensitivity-dbfs-at-94 is given; put the calibrator on and give the level "
                "that it says, --level-db 94"
            )
        wanted = Wanted(
            _levels_db(arguments.level_db or []),
            arguments.sensitivity_dbfs_at_94,
            arguments.correction_db,
            arguments.date or _today(),
            operator,
            instrument,
            arguments.duration_s,
            arguments.wait_s,
        )
        _, path = calibrate(source, directory, wanted, _tell)
        write_record(load_record(path), path, sys.stdout, as_json=arguments.json)
        return EXIT_DONE
    except (CalibrationError, SourceError) as error:
        sys.stderr.write(complaint(error))
        return EXIT_FAILED


def _tell(line: str) -> None:
    sys.stderr.write("calibrate: %s\n" % line)
    sys.stderr.flush()


def _user() -> str:
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # Python before and from 3.13: one without a name, as in a container
        return "user %d" % os.getuid()


def _chosen_source(config: Config, name: Optional[str]) -> SourceConfig:
    known = ", ".join(source.name for source in config.source)
    if name is not None:
        found = [source for source in config.source if source.name == name]
        if not found:
            raise ConfigError("--source %s; the configuration has %s" % (name, known))
        return found[0]
    microphones = [source for source in config.source if source.type == "microphone"]
    if len(microphones) != 1:
        raise ConfigError(
            "the configuration has %d microphones (its sources: %s); expected --source NAME" % (len(microphones), known)
        )
    return microphones[0]


def _levels_db(given: List[float]) -> Tuple[float, ...]:
    if len(given) > 2 or (len(given) == 2 and abs(given[0] - given[1]) < 10.0):
        raise ConfigError(
            "--level-db is given as %s; expected once, or twice with 94 and 114" % " and ".join("%g" % g for g in given)
        )
    return tuple(given)


def _today() -> str:
    from edge.clock import is_system_clock_synchronised

    if not is_system_clock_synchronised():
        raise ConfigError(
            "this machine's clock is not synchronised and says %s; a calibration needs its true date: give it with "
            "--date YYYY-MM-DD, or connect a time server" % time.strftime("%Y-%m-%d", time.gmtime())
        )
    return time.strftime("%Y-%m-%d", time.gmtime())


def _level_db(text: str) -> float:
    value = float(text)
    if not any(abs(value - level_db) <= _OFF_NOMINAL_DB for level_db in _LEVELS_DB):
        raise argparse.ArgumentTypeError("%s; expected 94 or 114, or within 1 dB of it by certificate" % text)
    return value


def _sensitivity(text: str) -> float:
    value = float(text)
    if not -140.0 <= value <= 20.0:
        raise argparse.ArgumentTypeError("%s; expected -140 to 20, -26 for instance" % text)
    return value


def _correction_db(text: str) -> float:
    value = float(text)
    if not -5.0 <= value <= 5.0:
        raise argparse.ArgumentTypeError("%s; expected -5 to 5" % text)
    return value


def _duration_s(text: str) -> float:
    value = float(text)
    if not 3.0 <= value <= 60.0:
        raise argparse.ArgumentTypeError("%s; expected 3 to 60" % text)
    return value


def _date(text: str) -> str:
    try:
        return dt.datetime.strptime(text, "%Y-%m-%d").date().isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError("%s; expected YYYY-MM-DD" % text) from None


def _text(given: str, option: str) -> str:
    if len(given) > _MAX_CHARACTERS or not given.isprintable():
        raise ConfigError(
            "%s is %r; expected one line of at most %d characters" % (option, given[:40], _MAX_CHARACTERS)
        )
    return given
