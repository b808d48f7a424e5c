"""Structs within messages: written by msgspec, read and described by pydantic, as if they were models."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.json import encode as encode_part
from msgspec.structs import fields
from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError
from pydantic_core import to_json

from shared.events.codec import MESSAGES, decode, encode
from shared.events.curve import Curve, GroupCurve, ScoreCurve, Term
from shared.events.envelope import LeadReference
from shared.events.part import Part
from shared.events.scores import (
    EventReference,
    EventsRecorded,
    Forecast,
    LeadEventsRecorded,
    LeadScoreChanged,
    LedgerEntry,
    RecordedEvent,
    ScoreChange,
    Standing,
    ThresholdPosition,
)
from shared.events.topics import LEAD_SCORES

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
# From 1e16 on pydantic writes 1e+16 where msgspec writes 1e16.
FLOATS = st.floats(-1e16, 1e16, exclude_min=True, exclude_max=True) | st.sampled_from([-0.0, 5e-324, 1e-7, 1e15])
HUGE = st.sampled_from([1e16, -1e22, 1.7976931348623157e308])
INTEGERS = st.integers(-(2**63), 2**63 - 1)
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
WHOLE_SECONDS = MOMENTS.map(lambda at: at.replace(microsecond=0))


def values(floats: st.SearchStrategy[float]) -> st.SearchStrategy[Any]:
    single = st.none() | st.booleans() | INTEGERS | floats | TEXT
    return st.recursive(single, lambda inner: st.lists(inner, max_size=2) | named(inner), max_leaves=4)


def named(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(TEXT, inner, max_size=2)


def some(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(inner, max_size=2).map(tuple)


def messages(floats: st.SearchStrategy[float]) -> st.SearchStrategy[LeadScoreChanged | LeadEventsRecorded]:
    """Any values that the fields may have."""
    at, maybe_at, maybe_float = MOMENTS | WHOLE_SECONDS, st.none() | MOMENTS, st.none() | floats
    maybe_integer, attributes = st.none() | INTEGERS, named(values(floats))
    lead = st.builds(LeadReference, TEXT, some(TEXT), named(some(TEXT)))
    standing = st.builds(Standing, named(floats), named(st.none() | TEXT), st.none() | TEXT)
    event = st.builds(EventReference, TEXT, TEXT, TEXT, at)
    recorded = st.builds(RecordedEvent, TEXT, TEXT, TEXT, at, at, attributes)
    kinds = st.sampled_from(["rule", "attribute", "adjustment", "group_clamp", "score_clamp", "component"])
    short = st.builds(
        LedgerEntry, kinds, st.none() | TEXT, floats, maybe_float, maybe_integer, maybe_float, maybe_float, maybe_at,
        st.none() | event, TEXT,
    )  # fmt: skip
    entry = short | st.builds(
        LedgerEntry, kinds, st.none() | TEXT, floats, maybe_float, maybe_integer, maybe_float, maybe_float, maybe_at,
        st.none() | event, TEXT, INTEGERS, floats, maybe_at,
    )  # fmt: skip
    position = st.builds(
        ThresholdPosition,
        st.sampled_from(["reached", "between", "below"]),
        maybe_float,
        maybe_float,
        maybe_float,
        maybe_float,
    )
    term = st.builds(Term, floats, INTEGERS, maybe_integer, maybe_integer)
    group = st.builds(GroupCurve, maybe_float, maybe_float, some(term))
    score = st.builds(ScoreCurve, maybe_float, maybe_float, some(group), named(floats))
    forecast = st.builds(Forecast, st.builds(Curve, INTEGERS, named(score)), maybe_at, st.none() | standing)
    sequence = st.integers(1, 2**40)
    causes = st.sampled_from(["events", "time", "merge", "unmerge", "model"])
    change = st.builds(
        ScoreChange, lead, sequence, TEXT, INTEGERS, at, standing, st.none() | standing, causes, some(event),
        named(some(entry)), named(position), forecast, attributes,
    )  # fmt: skip
    recording = st.builds(EventsRecorded, lead, sequence, some(recorded), attributes)
    envelope = {"id": TEXT, "source": TEXT, "subject": TEXT, "time": at, "workspace": TEXT}
    return st.builds(LeadScoreChanged, **envelope, data=change) | st.builds(
        LeadEventsRecorded, **envelope, data=recording
    )


def in_plain_words(value: Any) -> Any:
    """The same as dictionaries: field by field, in the order in which the fields are declared."""
    if isinstance(value, Struct):
        return {field.name: in_plain_words(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {name: in_plain_words(inner) for name, inner in value.items()}
    if isinstance(value, tuple | list):
        return [in_plain_words(inner) for inner in value]
    return value


@given(message=messages(FLOATS))
def test_pydantic_would_write_the_same_bytes(message: LeadScoreChanged | LeadEventsRecorded) -> None:
    written = encode(message)

    declared = {name: in_plain_words(getattr(message, name)) for name in type(message).model_fields}
    assert written == to_json(declared) == to_json(message)
    assert decode(written) == message


@given(message=messages(HUGE))
def test_numbers_of_seventeen_digits_are_the_same_numbers(message: LeadScoreChanged | LeadEventsRecorded) -> None:
    assert decode(encode(message)) == message
    assert decode(to_json(message)) == message


@given(message=messages(FLOATS))
def test_a_part_alone_is_written_and_read_as_within_a_message(
    message: LeadScoreChanged | LeadEventsRecorded,
) -> None:
    part: Part = message.data
    adapter: TypeAdapter[Part] = TypeAdapter(type(part))

    written = encode_part(part)

    assert adapter.dump_json(part) == written
    assert adapter.validate_json(written) == part
    assert adapter.validate_python(part) is part
    assert adapter.validate_python(adapter.dump_python(part)) == part


def test_all_that_is_said_on_lead_scores_has_parts() -> None:
    data: list[object] = [kind.model_fields["data"].annotation for kind in MESSAGES[LEAD_SCORES]]

    assert all(isinstance(part, type) and issubclass(part, Part) for part in data)


class Sample(Part, frozen=True, gc=False):
    """A sample."""

    at: Annotated[AwareDatetime, Field(description="When.")]
    worth: float
    note: Annotated[str | None, Field(description="What.", max_length=3)] = None


def test_readers_check_what_builders_do_not() -> None:
    adapter = TypeAdapter(Sample)

    with pytest.raises(ValidationError, match="timezone"):
        adapter.validate_json(b'{"at": "2026-03-01T00:00:00", "worth": 1}')
    with pytest.raises(ValidationError, match="required"):
        adapter.validate_json(b'{"at": "2026-03-01T00:00:00Z"}')
    with pytest.raises(ValidationError, match="at most 3"):
        adapter.validate_json(b'{"at": "2026-03-01T00:00:00Z", "worth": 1, "note": "four"}')


def test_readers_tolerate_what_they_do_not_know_and_what_older_releases_did_not_say() -> None:
    read = TypeAdapter(Sample).validate_json(b'{"worth": 2, "at": "2026-03-01T01:00:00+01:00", "new": []}')

    assert read == Sample(datetime(2026, 3, 1, 1, tzinfo=timezone(timedelta(hours=1))), 2.0, None)
    assert isinstance(read.worth, float)


def test_a_schema_tells_of_a_part_what_it_would_tell_of_a_model() -> None:
    schema = TypeAdapter(Sample).json_schema(mode="serialization")

    assert schema["title"] == "Sample"
    assert schema["description"] == "A sample."
    assert schema["required"] == ["at", "worth", "note"]
    assert schema["properties"]["note"]["default"] is None
    assert schema["properties"]["at"]["description"] == "When."
