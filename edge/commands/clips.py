"""`soundclr-edge clips`"""

import argparse
import json
from pathlib import Path

from edge.commands.options import Commands, add_state_dir
from edge.exit_status import EXIT_DONE, EXIT_FAILED


def add_parser(commands: Commands) -> None:
    """Offer the command."""
    clips = commands.add_parser("clips", help="keys for encrypted clips of what was heard; list, open and delete them")
    actions = clips.add_subparsers(dest="action", metavar="ACTION")
    actions.required = True
    keygen = actions.add_parser("keygen", help="make a pair of keys, on the machine where clips will be listened to")
    keygen.add_argument("name", type=Path, metavar="NAME", help="NAME.pub goes to the nodes, NAME.key stays")
    keygen.set_defaults(execute=execute_keygen)
    listing = actions.add_parser("list", help="the clips on this node; nobody needs a key for that")
    listing.add_argument("--json", action="store_true", help="one JSON object a line")
    add_state_dir(listing)
    listing.set_defaults(execute=execute_list)
    decrypt = actions.add_parser("decrypt", help="open clips, copied from a node")
    decrypt.add_argument("--key", type=Path, required=True, metavar="FILE", help="the secret key, NAME.key")
    decrypt.add_argument(
        "--format", choices=["flac", "wav"], default="flac", help="of the sound (default: %(default)s)"
    )
    decrypt.add_argument("--output", type=Path, default=Path(), metavar="DIR", help="where to (default: here)")
    decrypt.add_argument("--json", action="store_true", help="tell what is known of each as one JSON object a line")
    decrypt.add_argument("file", type=Path, nargs="+", metavar="CLIP", help="an encrypted clip, NAME.clip")
    decrypt.set_defaults(execute=execute_decrypt)
    delete = actions.add_parser("delete", help="delete clips from this node")
    delete.add_argument("--all", action="store_true", help="every one")
    delete.add_argument("name", nargs="*", metavar="NAME", help="as `list` tells it")
    add_state_dir(delete)
    delete.set_defaults(execute=execute_delete)


def execute_keygen(arguments: argparse.Namespace) -> int:
    """Make keys."""
    from edge.clips.keys import make_key_files, read_public_key

    public_path, secret_path = make_key_files(arguments.name)
    print("key         %s" % read_public_key(public_path).fingerprint.hex())
    print("public key  %s: copy it to the nodes, and name it as [clips] public_key_file" % public_path)
    print("secret key  %s: keep it off the nodes, and keep a copy: without it no clip can be opened" % secret_path)
    return EXIT_DONE


def execute_list(arguments: argparse.Namespace) -> int:
    """Show what there is."""
    from edge.clips.archive import list_clips
    from edge.installation import find_service_state_directory

    listed = list_clips(find_service_state_directory(arguments.state_dir))
    for clip in listed:
        if arguments.json:
            print(json.dumps(clip._asdict()))
        else:
            print("%s  %8d bytes  key %s  %s" % (clip.written, clip.bytes, clip.key, clip.name))
    if not arguments.json:
        print("%d clips, %.1f MB" % (len(listed), sum(clip.bytes for clip in listed) / 1e6))
    return EXIT_DONE


def execute_decrypt(arguments: argparse.Namespace) -> int:
    """Open clips; one that cannot be opened does not keep the others closed."""
    import sys

    from edge.clips.archive import open_clip
    from edge.clips.keys import read_secret_key
    from edge.errors import ClipError, complaint

    key, failed = read_secret_key(arguments.key), 0
    for path in arguments.file:
        try:
            opened = open_clip(path, key, arguments.output, arguments.format)
        except ClipError as error:
            failed += 1
            sys.stderr.write(complaint(error))
            continue
        if arguments.json:
            print(json.dumps(dict(opened.about, file=str(opened.path)), sort_keys=True))
        else:
            print("%s  %s" % (opened.path, opened.description))
    return EXIT_FAILED if failed else EXIT_DONE


def execute_delete(arguments: argparse.Namespace) -> int:
    """Delete clips."""
    from edge.clips.archive import delete_clips
    from edge.errors import ClipError
    from edge.installation import find_service_state_directory

    if bool(arguments.name) == arguments.all:
        raise ClipError("clips delete wants either names, as `soundclr-edge clips list` tells them, or --all")
    directory = find_service_state_directory(arguments.state_dir)
    missing = delete_clips(directory, None if arguments.all else arguments.name)
    for name in missing:
        print("not there: %s" % name)
    return EXIT_FAILED if missing else EXIT_DONE
