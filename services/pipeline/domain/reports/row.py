"""What reports count: one narrow row per lead, derived from the lead and from nothing else."""

import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import Final, Literal

from msgspec import Struct, field

from services.pipeline.domain.lead import Lead
from services.pipeline.domain.past import Passage
from shared.events.json import Json

_MOST_FACTS: Final = 100
_LONGEST_TEXT: Final = 200
_LARGEST: Final = 1e15
_MOST_SECONDS: Final = 2**31 - 1

Scalar = str | float | bool


class ReportRow(Struct, frozen=True, gc=False):
    """A lead as reports see it.

    `path` are its stages in the order of first coming there; `entered_seconds` tells when, from `entered_at` on, and
    `spent_seconds` how long it was there in all: None for the stage it stands in.
    """

    seen_at: datetime | None = None
    entered_at: datetime | None = None
    since: datetime | None = None
    due_at: datetime | None = None
    closed_at: datetime | None = None
    qualified_at: datetime | None = None
    close_date: date | None = None
    amount: float | None = None
    probability: float | None = None
    currency: str | None = None
    stage: str | None = None
    outcome: Literal["won", "lost"] | None = None
    owner: str | None = None
    model: str | None = None
    source: str | None = None
    medium: str | None = None
    campaign: str | None = None
    last_source: str | None = None
    last_medium: str | None = None
    last_campaign: str | None = None
    path: tuple[str, ...] = ()
    entered_seconds: tuple[int, ...] = ()
    spent_seconds: tuple[int | None, ...] = ()
    thresholds: tuple[str, ...] = ()
    facts: Mapping[str, Scalar] = field(default_factory=dict)


def report_row(lead: Lead) -> ReportRow | None:
    """The row of a lead; None for one that another has absorbed."""
    if lead.absorbed_by is not None:
        return None
    deal = {name: fact.value for name, fact in lead.deal.items()}
    known: dict[str, Json] = {**lead.attributes, **deal}
    first, last = lead.first_touch, lead.past.last_touch or lead.first_touch
    stay, journey = lead.stay, _journey(lead)
    begun = journey[0].entered_at if journey else None
    outcome = next((passage.ending for passage in journey if stay and passage.stage == stay.stage), None)
    return ReportRow(
        seen_at=first.at if first else None,
        entered_at=begun,
        since=stay.since if stay else None,
        due_at=stay.due_at if stay and outcome is None else None,
        closed_at=stay.since if stay and outcome else None,
        qualified_at=lead.past.qualified_at,
        close_date=_day(known.get("close_date")),
        amount=_number(known.get("amount")),
        probability=_share(known.get("probability")),
        currency=_short(known.get("currency")),
        stage=stay.stage if stay else None,
        outcome=outcome,
        owner=_short(known.get("owner")),
        model=lead.past.model,
        source=first.source if first else None,
        medium=first.medium if first else None,
        campaign=first.campaign if first else None,
        last_source=last.source if last else None,
        last_medium=last.medium if last else None,
        last_campaign=last.campaign if last else None,
        path=tuple(passage.stage for passage in journey),
        entered_seconds=tuple(
            _seconds((passage.entered_at - journey[0].entered_at).total_seconds()) for passage in journey
        ),
        spent_seconds=tuple(
            None if stay and passage.stage == stay.stage else _seconds(passage.seconds) for passage in journey
        ),
        thresholds=tuple(sorted(name for name, state in lead.thresholds.items() if state.entered_at)),
        facts=_facts(known),
    )


def is_reported_otherwise(before: Lead, now: Lead) -> bool:
    """Whether anything is another that `report_row` looks at; looking costs a fraction of the row."""
    return any(getattr(before, name) != getattr(now, name) for name in _LOOKED_AT)


_LOOKED_AT: Final = ("past", "attributes", "first_touch", "stay", "thresholds", "deal", "absorbed_by")


def _journey(lead: Lead) -> tuple[Passage, ...]:
    """The stages it has come to. Of who has not moved since journeys are kept only the last is known."""
    journey, stay = lead.past.journey, lead.stay
    if stay is None or any(passage.stage == stay.stage for passage in journey):
        return journey
    return (*journey, Passage(stay.stage, stay.since))


def _facts(known: Mapping[str, Json]) -> dict[str, Scalar]:
    """What a report can be grouped by: single short values, the first hundred by name."""
    single = {name: value for name, value in sorted(known.items()) if _is_single(value)}
    return {name: value for name, value in list(single.items())[:_MOST_FACTS] if isinstance(value, str | int | float)}


def _is_single(value: Json) -> bool:
    return isinstance(value, bool | int | float) or (isinstance(value, str) and 0 < len(value) <= _LONGEST_TEXT)


def _short(value: Json) -> str | None:
    return value.strip()[:_LONGEST_TEXT] or None if isinstance(value, str) else None


def _number(value: Json) -> float | None:
    """An amount as a number; CRMs like to send them as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and abs(number) <= _LARGEST else None


def _share(value: Json) -> float | None:
    number = _number(value)
    return number if number is not None and 0 <= number <= 1 else None


def _day(value: Json) -> date | None:
    """The day of a date or a moment, as it is written."""
    try:
        return date.fromisoformat(value[:10]) if isinstance(value, str) else None
    except ValueError:
        return None


def _seconds(value: float) -> int:
    return round(min(max(value, 0.0), _MOST_SECONDS))
