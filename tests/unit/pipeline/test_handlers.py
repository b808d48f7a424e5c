"""Messages of the scorer that are read plainly: the same as by the contract, or the same refusal."""

from collections.abc import Callable
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from services.pipeline import handlers
from services.pipeline.service import Received
from shared.errors import InvalidInput
from shared.events.codec import decode_plainly, encode
from shared.log.protocol import Partition, ReceivedRecord
from tests.support.pipeline import (
    NOON,
    a_position,
    a_recorded_event,
    a_score_change,
    an_entry,
    merged,
    recorded,
    unmerged,
)

FACTS: dict[str, Any] = {"size": 10.5, "tags": ["a", {"deep": [True, None]}], "n": 7, "who": "Åsa"}
SAID = [
    encode(message)
    for message in (
        recorded(1, a_recorded_event("page_viewed", **FACTS), attributes=FACTS),
        a_score_change(2, thresholds={"mql": a_position("reached")}, attributes=FACTS, event_types=("page_viewed",)),
        a_score_change(3, ledger={"total": (an_entry(), an_entry("page", 0.1, half_life_seconds=60.0))}),
        merged(4),
        unmerged(5),
    )
]
# What is odd is what two readers of JSON could see differently, or what cannot be stored.
ODD = (
    rb"null|true|0|-0|1.0|-0.0|1e2|1e16|1e400|NaN|01|9223372036854775808|-9223372036854775808|123456789012345678901|0.10"
    rb'|""|"a"|"\u0061"|"\/"|"\ud83d"|"\ud83d\ude00"|"\u0000"|"\\u0000"|"1"|"lead.merged"|"lead.score_changed"|"reached"'
    rb'|"2026-03-02T12:00:00Z"|"2026-03-02T12:00:00.5Z"|"2026-03-02T12:00:00.123456789Z"|"2026-03-02T14:00:00+02:00"'
    rb'|"2026-03-02T12:00:00"|"2026-03-02"|1772452800|[]|{}|[1, 2]|{"a":1,"a":2}|[[[[[[[[1]]]]]]]]|{"\u0000":1}'
    rb'|"11111111-1111-4111-8111-111111111111"|"11111111111141118111111111111111"|"AAAAAAAA-1111-4111-8111-111111111111"'
).split(b"|")
FIELD = (
    b'"specversion":|"id":|"type":|"time":|"workspace":|"data":|"sequence":|"at":|"lead":|"emails":|"external_ids":'
)
FIELDS = (
    *FIELD.split(b"|"),
    *b'"attributes":|"size":|"n":|"tags":|"deep":|"who":|"events":|"properties":|"occurred_at":|"received_at":'.split(
        b"|"
    ),
    *b'"absorbed":|"other":|"role":|"current":|"scores":|"total":|"worth":|"withheld":|"position":|"curve":'.split(
        b"|"
    ),
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Messages as leadflow writes them, nearly so, or not at all."""
    body = draw(st.sampled_from(SAID))
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2]))):
        name = draw(st.sampled_from([field for field in FIELDS if field in body] or [b"{"]))
        place = body.index(name) + len(name)
        match draw(st.sampled_from(["odd", "odd", "odd", "doubled", "unknown", "white", "cut"])):
            case "odd":
                body = body[:place] + draw(st.sampled_from(ODD)) + body[end_of_value(body, place) :]
            case "doubled":
                body = body[:place] + draw(st.sampled_from(ODD)) + b"," + name + body[place:]
            case "unknown":
                body = body[: place - len(name)] + b'"learnt_later":1,' + name + body[place:]
            case "white":
                body = body[:place] + b" " + body[place:]
            case _:
                body = body[:place]
    return body


def end_of_value(body: bytes, start: int) -> int:
    """Where the JSON value ends that begins at `start`."""
    depth, in_text, place = 0, False, start
    while place < len(body):
        char = body[place : place + 1]
        if in_text:
            place += char == b"\\"
            in_text = char != b'"'
        elif char == b'"':
            in_text = True
        elif char in b"{[":
            depth += 1
        elif char in b"}],":
            if depth == 0:
                return place
            depth -= char != b","
        place += 1
    return place


def a_record(value: bytes, **headers: bytes) -> ReceivedRecord:
    return ReceivedRecord(Partition("lead-scores", 0), 1, b"key", value, headers, NOON)


def outcome(read: Callable[[ReceivedRecord], Any], record: ReceivedRecord) -> object:
    """What became of a record, to the byte: 1 is not 1.0 here."""
    try:
        message = read(record)
    except InvalidInput as error:
        return error.code, error.field, str(error)
    if isinstance(message, Received):
        message = message.message
    return type(message), encode(message)


@given(bodies(), st.sampled_from([{}, {}, {"workspace": b"default"}, {"workspace": b"other"}]))
@example(b"", {})
@example(b"[]", {})
@example(b"\xff\xfe", {})
@example(SAID[0].replace(b"10.5", b"[" * 500 + b"]" * 500), {})
@example(SAID[1].replace(b"10.5", b"1" + b"0" * 400), {})
def test_a_message_is_read_as_the_contract_has_it(value: bytes, headers: dict[str, bytes]) -> None:
    record = a_record(value, **headers)

    assert outcome(handlers.read, record) == outcome(handlers._read_exactly, record)


def test_what_the_scorer_writes_is_read_plainly() -> None:
    assert all(decode_plainly(body) is not None for body in SAID)
