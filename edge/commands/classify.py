"""`soundclr-edge classify`"""

import argparse
import sys
from pathlib import Path

from edge.commands.options import Commands, add_config, add_start_time, optional_config, positive
from edge.config import SHIPPED_BUNDLE
from edge.errors import ConfigError
from edge.exit_status import EXIT_DONE, EXIT_UNUSABLE
from edge.sources.start_time import FROM_FILE


def add_parser(commands: Commands) -> None:
    """Offer the command."""
    classify = commands.add_parser("classify", help="say what recordings hold, by the daemon's own code")
    classify.add_argument("files", nargs="+", metavar="FILE", help="WAV, FLAC or Ogg")
    classify.add_argument("--json", action="store_true", help="one JSON object a line: each hop, event and file")
    classify.add_argument(
        "--bundle",
        type=Path,
        default=None,
        help="folder of the model (default: the configuration's, else %s)" % SHIPPED_BUNDLE,
    )
    classify.add_argument("--hop-s", type=positive, default=None, help="seconds from one window to the next")
    add_start_time(classify)
    add_config(classify)
    classify.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from edge.classify import classify_files
    from edge.installation import find_state_directory
    from edge.scorer_choice import choose_scorer
    from engines.bundle import load_bundle

    config = optional_config(arguments.config)
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
