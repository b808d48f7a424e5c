"""Where a workspace can be left: no route says "all of them", and nobody goes past the transactions."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What answers requests, and may therefore ask for the rows of one workspace only.
ROUTES = sorted(ROOT.glob("services/*/api/*.py"))
# `shared/db/direct.py` begins its transactions as the engine does; `shared/log/embedded.py` listens, which no
# transaction can.
PAST_TRANSACTIONS = {
    "shared/db/direct.py",
    "shared/db/engine.py",
    "shared/db/migrations.py",
    "shared/log/embedded.py",
}


def test_no_route_reaches_all_workspaces() -> None:
    assert len(ROUTES) > 10
    assert [path.name for path in ROUTES if re.search(r"ALL_WORKSPACES|as_login", path.read_text())] == []


def test_nothing_goes_past_the_transactions() -> None:
    files = [path for part in ("services", "shared") for path in (ROOT / part).rglob("*.py")]
    going = [path for path in files if re.search(r"\.engine\.(connect|begin)\(", path.read_text())]
    found = {str(path.relative_to(ROOT)) for path in going}

    assert found == PAST_TRANSACTIONS
