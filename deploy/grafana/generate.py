"""Writes the dashboards of Grafana from what `boards` declares, or checks that they agree.

`python -m deploy.grafana.generate write | check`
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.grafana.boards import BOARDS
from deploy.grafana.layout import document

DASHBOARDS = Path(__file__).parent / "dashboards"
REPAIR = "run `python -m deploy.grafana.generate write` and commit what it wrote"


def files() -> dict[str, str]:
    """The dashboards by the names of their files."""
    return {
        f"{board.uid.removeprefix('leadflow-')}.json": json.dumps(
            document(board, BOARDS), indent=2, ensure_ascii=False
        )
        + "\n"
        for board in BOARDS
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("write", "check"))
    parser.add_argument("--dashboards", type=Path, default=DASHBOARDS, help="directory to write into or to compare")
    options = parser.parse_args(arguments)
    rendered = files()
    found = {path.name: path.read_text(encoding="utf-8") for path in options.dashboards.glob("*.json")}
    if options.action == "write":
        for name, text in rendered.items():
            (options.dashboards / name).write_text(text, encoding="utf-8")
        for name in found.keys() - rendered.keys():
            (options.dashboards / name).unlink()
        return 0
    differing = sorted(name for name in rendered.keys() | found.keys() if rendered.get(name) != found.get(name))
    if differing:
        sys.stderr.write(f"{', '.join(differing)} of {options.dashboards} are not what is declared: {REPAIR}\n")
    return 1 if differing else 0


if __name__ == "__main__":
    raise SystemExit(main())
