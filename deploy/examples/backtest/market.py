"""A made-up market to try a backtest on: half a year of leads, what they did, and who bought. Standard library only.

python market.py > market.csv writes the same rows on every machine. Everybody has a past that says little and a
present that says more; sales is asked for a demo, and weeks later it is won or lost.
"""

import csv
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final, NamedTuple

SEED: Final = 5
LEADS: Final = 600
BEGIN: Final = datetime(2025, 1, 6, tzinfo=UTC)
WEEKS: Final = 26

_TITLES: Final = ("Head of Purchasing", "Supply Chain Director", "Inventory Manager", "Buyer", "Student", "Owner")
_COUNTRIES: Final = ("SE", "DE", "NL", "US", "FR")
_PAST: Final = ("page_viewed", "email_clicked", "content_downloaded", "page_viewed", "webinar_attended")
_PRESENT: Final = ("pricing", "feature_used", "pricing", "form_submitted", "colleague_invited")


class Row(NamedTuple):
    """One event, as a CSV file has it."""

    id: str
    at: str
    email: str
    event: str
    path: str
    webinar_id: str
    job_title: str
    employees: int
    country: str


def rows(leads: int = LEADS) -> Iterator[Row]:
    """All events, lead by lead, in the order in which they happened."""
    for number in range(leads):
        yield from _lead(number, Random(SEED * 1_000_003 + number))  # noqa: S311 - a play, no secret


def _lead(number: int, random: Random) -> Iterator[Row]:
    facts = (random.choice(_TITLES), random.choice((12, 40, 180, 900, 3200, 20_000)), random.choice(_COUNTRIES))
    fits = facts[0] not in {"Student", "Buyer"} and 50 <= facts[1] <= 5000
    # How much it wants a solution now; its curiosity in the past has little to do with it.
    need = random.random()
    asks = BEGIN + timedelta(days=random.uniform(60, 7 * WEEKS))
    happened = [
        *_wave(random, _PAST, asks, days=(14, 75), number=random.randint(0, 16)),
        *_wave(random, _PRESENT, asks, days=(0, 10), number=round(random.uniform(4, 9) * need)),
        (asks, "demo_requested"),
    ]
    decided = asks + timedelta(days=random.uniform(5, 45))
    if random.random() > 0.08:
        won = random.random() < 0.02 + 0.7 * need**3 + (0.2 if fits else 0.0)
        happened.append((decided, "deal_won" if won else "deal_lost"))
    for place, (at, what) in enumerate(sorted(happened)):
        yield _row(f"{number}-{place}", at, f"lead{number}@firm{number}.example", what, facts)


def _wave(
    random: Random, kinds: tuple[str, ...], end: datetime, *, days: tuple[float, float], number: int
) -> Iterator[tuple[datetime, str]]:
    """`number` events that happened so many `days` before `end`."""
    for _ in range(number):
        yield end - timedelta(days=random.uniform(*days)), random.choice(kinds)


def _row(row_id: str, at: datetime, email: str, what: str, facts: tuple[str, int, str]) -> Row:
    path = {"pricing": "/pricing", "page_viewed": "/blog"}.get(what, "")
    event = "page_viewed" if what == "pricing" else what
    webinar = f"webinar-{at:%Y-%m}" if what == "webinar_attended" else ""
    return Row(row_id, at.isoformat(timespec="seconds"), email, event, path, webinar, *facts)


def main() -> None:
    """Write the market to standard output."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(Row._fields)
    writer.writerows(rows())


if __name__ == "__main__":
    main()
