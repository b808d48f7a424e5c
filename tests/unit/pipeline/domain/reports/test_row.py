"""The row that reports count, of leads as they come."""

from datetime import date, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from services.pipeline.domain import lead as domain
from services.pipeline.domain.lead import Lead
from services.pipeline.domain.past import NO_PAST, after_facts
from services.pipeline.domain.reports.row import ReportRow, is_reported_otherwise, report_row
from services.pipeline.domain.said import DealFact
from services.pipeline.domain.stages import Move
from tests.support.pipeline import LEAD, NOON, a_pipeline, a_recorded_event, recorded

PIPELINE = a_pipeline()
NOBODY = Lead("default", LEAD)
DAY = timedelta(days=1)


def row_of(lead: Lead) -> ReportRow:
    row = report_row(lead)
    assert row is not None
    return row


def with_deal(**deal: Any) -> Lead:
    return Lead("default", LEAD, deal={name: DealFact(value, NOON) for name, value in deal.items()})


def after(days: int, stage: str, lead: Lead) -> Lead:
    """The lead, moved by a person `days` after NOON, with what that adds to its past."""
    move = Move(stage, "person", "ada", "for the test", override=True)
    moved, fact = domain.after_request(lead, move, PIPELINE, NOON + days * DAY)
    return replace(moved, past=after_facts(lead.past, [fact]))


def begun() -> Lead:
    lead, facts = domain.after_events(NOBODY, recorded(1, a_recorded_event("page_viewed")).data, PIPELINE)
    return replace(lead, past=after_facts(NO_PAST, facts))


def test_a_lead_nobody_has_heard_of_has_an_empty_row() -> None:
    assert report_row(NOBODY) == ReportRow()


def test_what_is_reported_otherwise_is_known_before_the_row_is() -> None:
    """Of every field: a lead without any other one is either known to be another for reports, or has the same row."""
    lead = after(1, "sql", replace(begun(), attributes={"amount": 5}, deal=with_deal(owner="ada").deal))
    others = [
        replace(lead, **{name: getattr(Lead("acme", "x"), name)})
        for name in Lead.__struct_fields__
        if getattr(lead, name) != getattr(Lead("acme", "x"), name)
    ]

    assert all(is_reported_otherwise(lead, other) or report_row(other) == report_row(lead) for other in others)
    assert is_reported_otherwise(lead, replace(lead, absorbed_by="x"))
    assert not is_reported_otherwise(lead, replace(lead, judged_at=None, recent_events=frozenset({"x"})))


def test_a_lead_that_is_no_more_has_no_row() -> None:
    assert report_row(Lead("default", LEAD, absorbed_by="x")) is None


def test_the_path_tells_when_and_how_long() -> None:
    row = row_of(after(3, "won", after(1, "sql", begun())))

    assert row.path == ("new", "sql", "won")
    assert row.entered_seconds == (0, 86_400, 3 * 86_400)
    assert row.spent_seconds == (86_400, 2 * 86_400, None)
    assert (row.outcome, row.closed_at, row.due_at) == ("won", NOON + 3 * DAY, None)


def test_a_lead_that_is_reopened_is_open() -> None:
    row = row_of(after(4, "sql", after(3, "lost", begun())))

    assert (row.path, row.stage, row.outcome, row.closed_at) == (("new", "lost", "sql"), "sql", None, None)


def test_a_lead_from_before_journeys_were_kept_has_the_stage_it_stands_in() -> None:
    row = row_of(replace(begun(), past=NO_PAST))

    assert (row.path, row.entered_at) == (("new",), NOON)


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (12, 12.0),
        ("12.5", 12.5),
        ("a lot", None),
        (True, None),
        (None, None),
        ("nan", None),
        (1e300, None),
        ([1], None),
    ],
)
def test_amounts_come_as_numbers_or_as_text(amount: Any, expected: float | None) -> None:
    assert row_of(with_deal(amount=amount)).amount == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [("2026-04-30", date(2026, 4, 30)), ("2026-04-30T10:00:00Z", date(2026, 4, 30)), ("soon", None), (5, None)],
)
def test_closing_dates_are_days_as_they_are_written(written: Any, expected: date | None) -> None:
    assert row_of(with_deal(close_date=written)).close_date == expected


def test_only_single_short_values_can_be_grouped_by() -> None:
    lead = Lead("default", LEAD, attributes={"a": "x", "b": ["x"], "c": "x" * 300, "d": 5, "e": None, "f": ""})

    assert row_of(lead).facts == {"a": "x", "d": 5}
