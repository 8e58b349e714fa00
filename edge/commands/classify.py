"""`soundclr-edge classify`"""

import argparse
import datetime as dt
import os
import sys
from pathlib import Path
from typing import Any, List, Optional

from edge.archive.columns import DEFAULT_TABLES, TABLES
from edge.archive.picture_options import PictureOptions
from edge.archive.tables import FORMATS
from edge.commands.options import Commands, add_config, add_start_time, optional_config, positive
from edge.config import SHIPPED_BUNDLE, Config, calendar_of
from edge.errors import ConfigError
from edge.exit_status import EXIT_DONE, EXIT_FAILED, EXIT_UNUSABLE
from edge.records import Calibration, JsonObject
from edge.sources.start_time import FROM_FILE

_INTERRUPTED = 130  # as a shell says of what SIGINT ended


def add_parser(commands: Commands) -> None:
    """Offer the command."""
    classify = commands.add_parser(
        "classify",
        help="say what recordings hold, by the daemon's own code",
        description="Says what recordings hold, by the daemon's own code. With --output it makes tables of any number "
        "of them, by several processes, and the same command goes on where it was stopped.",
    )
    classify.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="WAV, FLAC, Ogg; a folder of them; a pattern in quotes (** any folders)",
    )
    classify.add_argument(
        "--files-from", metavar="LIST", default=None, help="file with more of them, one a line or NUL-ended; - is stdin"
    )
    classify.add_argument("--json", action="store_true", help="one JSON object a line: each hop, event and file")
    classify.add_argument(
        "--bundle",
        type=Path,
        default=None,
        help="folder of the model, or the name of one that ships (default: the configuration's, else %s)"
        % SHIPPED_BUNDLE,
    )
    classify.add_argument("--hop-s", type=positive, default=None, help="seconds from one window to the next")
    classify.add_argument(
        "--processes",
        type=_count,
        default=None,
        metavar="N",
        help="how many work side by side (default: 1; with --output as many as there are cores)",
    )
    add_start_time(classify)
    add_config(classify)
    _add_archive_options(classify.add_argument_group("archives"))
    classify.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from edge.archive.recordings import find_recordings
    from edge.archive.work import settings_from_config

    config = optional_config(arguments.config)
    paths = find_recordings(arguments.files, arguments.files_from)
    if len(paths) > 1 and arguments.start_time not in ("", FROM_FILE):
        given = (arguments.start_time, len(paths), FROM_FILE)
        raise ConfigError("--start-time %s for %d files; give one file, or --start-time %s" % given)
    if arguments.hop_s is not None:
        config = config._replace(model=config.model._replace(hop_s=arguments.hop_s))
    bundle = arguments.bundle or Path(config.model.bundle)
    if arguments.output is not None:
        settings = settings_from_config(config, bundle, _calibration(arguments))
        return _make_tables(arguments, paths, settings, config)
    if arguments.cluster is not None:
        raise ConfigError("--cluster without --output; say where the tables are to go")
    if (arguments.processes or 1) > 1 and len(paths) > 1:
        return _print_side_by_side(arguments, paths, settings_from_config(config, bundle))
    return _print_here(arguments, paths, config, bundle)


def _add_archive_options(group: Any) -> None:
    group.add_argument(
        "--output", type=Path, default=None, metavar="DIR", help="make tables in this folder, new or of the same run"
    )
    group.add_argument("--format", choices=FORMATS, default="csv", help="of the tables (default: %(default)s)")
    group.add_argument(
        "--tables",
        type=_tables,
        default=DEFAULT_TABLES,
        metavar="NAMES",
        help="with commas between, of %s (default: %s)" % (", ".join(sorted(TABLES)), ",".join(DEFAULT_TABLES)),
    )
    group.add_argument(
        "--separate-files",
        action="store_true",
        help="hear each file by itself (default: consecutive files of one recorder, as their start times say, are one "
        "stream)",
    )
    group.add_argument(
        "--calibration-offset-db",
        type=float,
        default=None,
        metavar="DB",
        help="sound pressure level, dB re 20 uPa, of what is 0 dB re full scale (an RMS of 1) in these recordings",
    )
    group.add_argument("--calibrated-on", type=_date, default=None, metavar="DATE", help="when, as 2026-10-01")
    group.add_argument(
        "--calibration-method",
        choices=("calibrator", "data_sheet"),
        default="calibrator",
        help="what the offset rests on (default: %(default)s)",
    )
    group.add_argument("--picture", action="store_true", help="draw each day of each recorder as PNG")
    group.add_argument("--site", default="", help="the place, for the pictures' titles (default: the recorder's name)")
    group.add_argument(
        "--cluster",
        default=None,
        metavar="ADDRESS",
        help="work on the machines of a Dask cluster, by its scheduler's address, such as tcp://10.0.0.1:8786",
    )


def _print_here(arguments: argparse.Namespace, paths: List[str], config: Config, bundle_path: Path) -> int:
    from edge.classify import classify_files
    from edge.installation import find_state_directory
    from edge.scorer_choice import choose_scorer
    from engines.bundle import load_bundle

    bundle = load_bundle(bundle_path)
    with choose_scorer(bundle, config.model, find_state_directory()).scorer as scorer:
        failed = classify_files(
            paths,
            bundle,
            scorer,
            config,
            as_json=arguments.json,
            results=sys.stdout,
            complaints=sys.stderr,
            start_time=arguments.start_time,
        )
    return EXIT_UNUSABLE if failed else EXIT_DONE


def _print_side_by_side(arguments: argparse.Namespace, paths: List[str], settings: JsonObject) -> int:
    from edge.archive.printing import print_files

    failed = print_files(
        paths,
        settings,
        arguments.processes,
        as_json=arguments.json,
        start_time=arguments.start_time,
        results=sys.stdout,
        complaints=sys.stderr,
    )
    return EXIT_UNUSABLE if failed else EXIT_DONE


def _make_tables(arguments: argparse.Namespace, paths: List[str], settings: JsonObject, config: Config) -> int:
    from edge.archive.cluster import Cluster
    from edge.archive.journal import OutputError
    from edge.archive.processes import ProcessPool
    from edge.archive.progress import Progress
    from edge.archive.run import ArchiveOptions, classify_archive, complain, describe_account
    from edge.archive.tables import check_format

    check_format(arguments.format)
    processes = arguments.processes or len(os.sched_getaffinity(0))
    options = ArchiveOptions(
        arguments.output,
        arguments.format,
        arguments.tables,
        arguments.start_time,
        not arguments.separate_files,
        _calibration(arguments),
        calendar_of(config.summary),
        _picture_options(arguments, settings, config),
    )
    progress = Progress()
    try:
        account = classify_archive(
            list(dict.fromkeys(os.path.abspath(path) for path in paths)),
            settings,
            options,
            lambda: Cluster(settings, arguments.cluster) if arguments.cluster else ProcessPool(settings, processes),
            sys.stderr,
            progress,
        )
    except OutputError as error:
        progress.end()
        complain(sys.stderr, str(error))
        return EXIT_FAILED
    except KeyboardInterrupt:
        progress.end()
        sys.stderr.write(
            "soundclr-edge: stopped; what was finished is kept in %s, and the same command goes on from there\n"
            % arguments.output
        )
        return _INTERRUPTED
    sys.stdout.write(describe_account(account, options, as_json=arguments.json) + "\n")
    return EXIT_FAILED if account.failed else EXIT_DONE


def _picture_options(arguments: argparse.Namespace, settings: JsonObject, config: Config) -> Optional[PictureOptions]:
    if not arguments.picture:
        return None
    from edge import __version__
    from edge.archive.picture import check_picture
    from engines.bundle import load_bundle

    check_picture()
    if not arguments.start_time:
        raise ConfigError("--picture without --start-time; nobody says which day it was: give --start-time file")
    made_by = "soundclr-edge %s, model %s" % (__version__, load_bundle(Path(settings["bundle"])).id)
    return PictureOptions(arguments.site or config.node.site, made_by, config.summary.time_zone)


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 1024:
        raise argparse.ArgumentTypeError("%s; expected 1 to 1024" % text)
    return value


def _date(text: str) -> str:
    try:
        return dt.datetime.strptime(text, "%Y-%m-%d").strftime("%Y-%m-%d")
    except ValueError:
        raise argparse.ArgumentTypeError("%r; expected a date as 2026-10-01" % text) from None


def _calibration(arguments: argparse.Namespace) -> Optional[Calibration]:
    offset_db, date = arguments.calibration_offset_db, arguments.calibrated_on
    if (offset_db is None) != (date is None):
        raise ConfigError("--calibration-offset-db and --calibrated-on go together; give both or neither")
    if offset_db is None:
        return None
    if not 0.0 <= offset_db <= 200.0:
        raise ConfigError("--calibration-offset-db %g; expected 0 to 200, some 120 for most microphones" % offset_db)
    return Calibration(offset_db, date, arguments.calibration_method)


def _tables(text: str) -> Any:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in TABLES:
            raise argparse.ArgumentTypeError("%r; expected names of %s" % (name, ", ".join(sorted(TABLES))))
    return names
