"""``netclnt schema``: the JSON Schema of each line that ``--json`` prints."""

from __future__ import annotations

import json
from importlib import resources

from netclnt.cli.command import declare
from netclnt.cli.session import Session

FILE = "jsonlines.schema.json"


@declare("schema", examples=["netclnt schema > netclnt.schema.json"])
def command(session: Session) -> None:
    """Print the JSON Schema (draft 2020-12) that each line of every command's --json follows."""
    text = resources.files("netclnt").joinpath(FILE).read_text(encoding="utf-8")
    session.view.result("schema", {"schema": json.loads(text)}, text.splitlines())
