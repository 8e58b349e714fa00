"""`python -m edge.contract`: write the published contract anew.  To be run in a checkout."""

import json
import re
import sys
from pathlib import Path
from typing import Dict, List, Optional

from edge.contract.asyncapi import asyncapi_document
from edge.contract.frozen import broken_promises, merged, promises
from edge.contract.tables import TABLES
from edge.message_schema import json_schema
from edge.message_types import MESSAGE_TYPES
from edge.records import JsonObject

FOLDER = Path(__file__).resolve().parent
CHECKOUT = FOLDER.parent.parent
_PART = re.compile(r"(<!-- made: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
_LANGUAGES = {".py": "python", ".mjs": "javascript"}


def main(argv: Optional[List[str]] = None) -> int:
    """Write what has changed.  Returns 1, and writes nothing, where v1 would break a promise."""
    if argv if argv is not None else sys.argv[1:]:
        print("usage: python -m edge.contract", file=sys.stderr)
        return 2
    frozen = json.loads((FOLDER / "v1.json").read_text(encoding="utf-8"))
    broken = broken_promises(frozen, promises())
    for line in broken:
        print("v1 may gain, never lose: %s" % line, file=sys.stderr)
    if broken:
        return 1
    for name, text in sorted(published_files().items()):
        path = FOLDER / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print("wrote %s" % path.relative_to(CHECKOUT))
    return 0


def published_files() -> Dict[str, str]:
    """Name below this folder, and text, of every file that is made."""
    frozen = json.loads((FOLDER / "v1.json").read_text(encoding="utf-8"))
    files = {"schemas/%s.schema.json" % name: _json_text(json_schema(name)) for name in MESSAGE_TYPES}
    files["asyncapi.json"] = _json_text(asyncapi_document())
    files["v1.json"] = _json_text(merged(frozen, promises()))
    files["README.md"] = _PART.sub(
        lambda part: part.group(1) + _made(part.group(2)) + "\n" + part.group(3),
        (FOLDER / "README.md").read_text(encoding="utf-8"),
    )
    return files


def _made(what: str) -> str:
    if what in TABLES:
        return TABLES[what]()
    path = CHECKOUT / what  # a program that is shown as it is tested
    return "```%s\n%s\n```" % (_LANGUAGES[path.suffix], path.read_text(encoding="utf-8").strip())


def _json_text(values: JsonObject) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
