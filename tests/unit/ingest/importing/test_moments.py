"""Times as files write them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from services.ingest.importing.moments import Moment, form_fault, parse_moment
from services.ingest.importing.values import Value
from shared.errors import InvalidInput

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "form", "moment"),
    [
        ("2024-07-01", "iso", "2024-06-30T22:00:00"),
        ("2024-07-01 09:30", "iso", "2024-07-01T07:30:00"),
        ("2024-01-01T09:30:00", "iso", "2024-01-01T08:30:00"),
        ("2024-01-01T09:30:00.1234567Z", "iso", "2024-01-01T09:30:00.123456"),
        ("2011-10-01T00:38:44.546+02:00", "iso", "2011-09-30T22:38:44.546"),
        ("1700000000", "epoch_s", "2023-11-14T22:13:20"),
        ("1700000000.5", "epoch_s", "2023-11-14T22:13:20.5"),
        ("1700000000500", "epoch_ms", "2023-11-14T22:13:20.5"),
        ("01.07.2024 09:30", "%d.%m.%Y %H:%M", "2024-07-01T07:30:00"),
        ("7/1/24", "%m/%d/%y", "2024-06-30T22:00:00"),
        ("01.07.2024 09:30 +0500", "%d.%m.%Y %H:%M %z", "2024-07-01T04:30:00"),
        # Skipped in Berlin, then shown twice: the offset before the change counts.
        ("2024-03-31 02:30", "iso", "2024-03-31T01:30:00"),
        ("2024-10-27 02:30", "iso", "2024-10-27T00:30:00"),
    ],
)
def test_a_time_is_read_in_its_form_and_zone(text: str, form: str, moment: str) -> None:
    assert parse_moment(text, form, BERLIN) == datetime.fromisoformat(moment).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("yesterday", "iso"),
        ("20240701", "iso"),
        ("1700000000", "iso"),
        ("2024-13-01", "iso"),
        ("2024-02-30", "iso"),
        ("1969-12-31", "iso"),
        ("abc", "epoch_s"),
        ("-5", "epoch_s"),
        ("99999999999999999", "epoch_s"),
        ("2024-07-01", "%d.%m.%Y"),
        ("01.01.0001", "%d.%m.%Y"),
        ("", "iso"),
    ],
)
def test_what_is_no_time_is_none(text: str, form: str) -> None:
    assert parse_moment(text, form, BERLIN) is None


@pytest.mark.parametrize("form", ["iso", "epoch_s", "epoch_ms", "%d.%m.%Y", "%Y-%j", "%d %b %y %I:%M %p"])
def test_a_good_form_has_no_fault(form: str) -> None:
    assert form_fault(form) is None


@pytest.mark.parametrize("form", ["ISO8601", "", "%H:%M", "%d.%m.", "%Q", "%Y %Y-%m-%d"])
def test_a_form_that_tells_no_day_or_cannot_be_read_is_a_fault(form: str) -> None:
    assert form_fault(form) is not None


@pytest.mark.parametrize(
    ("cell", "code"), [("", "missing"), ("soon", "invalid_time"), ("2026-03-02T12:00:01Z", "invalid_time")]
)
def test_a_row_without_a_time_that_has_been_is_refused(cell: str, code: str) -> None:
    moment = Moment(Value("occurred_at", column="at"), "iso", UTC)

    with pytest.raises(InvalidInput) as refused:
        moment.of({"at": cell}, NOW)

    assert (refused.value.code, refused.value.field) == (code, "occurred_at")
