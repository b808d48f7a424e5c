"""The made-up market of deploy/examples/backtest, as messages that were imported long after."""

import runpy
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from shared.events.accepting import Accepted
from tests.support.datasets import REPOSITORY
from tests.support.messages import an_event

EXAMPLES = REPOSITORY / "deploy" / "examples"
IMPORTED = datetime(2026, 1, 1, tzinfo=UTC)


def market(leads: int | None = None) -> Iterator[Accepted]:
    """Every event of the market, or of its first `leads`."""
    script = runpy.run_path(str(EXAMPLES / "backtest" / "market.py"))
    for row in script["rows"](*([] if leads is None else [leads])):
        yield _message(row._asdict())


def _message(row: dict[str, Any]) -> Accepted:
    return an_event(
        row["id"],
        row["event"],
        at=datetime.fromisoformat(row["at"]),
        received=IMPORTED,
        email=row["email"],
        source="market",
        properties={name: row[name] for name in ("path", "webinar_id") if row[name]},
        attributes={name: row[name] for name in ("job_title", "employees", "country")},
    )
