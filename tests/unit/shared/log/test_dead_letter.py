"""A dead letter keeps the bytes and says where they came from and why nobody could handle them."""

from datetime import UTC, datetime

import pytest

from shared.errors import Refused
from shared.log.dead_letter import DeadLetter, Origin, _enveloped, stored_letter
from shared.log.protocol import MAX_RECORD_BYTES, Partition, ReceivedRecord, Record, size_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def a_letter(value: bytes = b"{", *, reason: str = "not JSON", **headers: bytes) -> DeadLetter:
    record = ReceivedRecord(
        partition=Partition("engagement-events", 3),
        offset=41,
        key=b"key",
        value=value,
        headers=headers,
        published_at=datetime(2026, 3, 1, 11, tzinfo=UTC),
    )
    return DeadLetter(record, reason)


def test_key_value_and_headers_are_kept_and_the_place_and_reason_added() -> None:
    record = _enveloped(a_letter(trace=b"\x00\xff"), NOW)

    assert (record.key, record.value) == (b"key", b"{")
    assert record.headers == {
        "trace": b"\x00\xff",
        "dead-letter-topic": b"engagement-events",
        "dead-letter-partition": b"3",
        "dead-letter-offset": b"41",
        "dead-letter-published-at": b"2026-03-01T11:00:00+00:00",
        "dead-letter-time": b"2026-03-01T12:00:00+00:00",
        "dead-letter-reason": b"not JSON",
    }


def test_a_record_at_the_size_limit_still_becomes_a_letter_that_the_log_takes() -> None:
    value = b"x" * MAX_RECORD_BYTES

    record = _enveloped(a_letter(value, reason="ü" * 5000), NOW)

    assert size_of(record) <= MAX_RECORD_BYTES
    assert value.startswith(record.value)
    assert record.headers["dead-letter-value-bytes"] == str(MAX_RECORD_BYTES).encode()


def as_received(record: Record) -> ReceivedRecord:
    return ReceivedRecord(Partition("engagement-events-dlq", 0), 7, record.key, record.value, record.headers, NOW)


def test_a_stored_letter_gives_its_reason_its_origin_and_the_record_as_it_was() -> None:
    letter = stored_letter(as_received(_enveloped(a_letter(b"\x00{", trace=b"\xff"), NOW)))

    assert (letter.reason, letter.died_at, letter.whole_bytes) == ("not JSON", NOW, 2)
    assert letter.origin == Origin(Partition("engagement-events", 3), 41, datetime(2026, 3, 1, 11, tzinfo=UTC))
    assert letter.original() == Record(b"key", b"\x00{", {"trace": b"\xff"})


def test_what_was_cut_off_is_no_original() -> None:
    letter = stored_letter(as_received(_enveloped(a_letter(b"x" * MAX_RECORD_BYTES), NOW)))

    with pytest.raises(Refused, match="bytes were kept"):
        letter.original()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"dead-letter-topic": b"t", "dead-letter-partition": b"-1", "dead-letter-offset": b"0"},
        {"dead-letter-topic": b"t", "dead-letter-published-at": b"2026-03-01T11:00:00"},
        {"dead-letter-topic": b"\xff", "dead-letter-published-at": b"\xff", "dead-letter-value-bytes": b"x"},
    ],
)
def test_a_record_whose_headers_say_too_little_has_no_origin(headers: dict[str, bytes]) -> None:
    letter = stored_letter(as_received(Record(b"k", b"v", headers)))

    assert (letter.origin, letter.reason, letter.died_at, letter.whole_bytes) == (None, "unknown", NOW, 1)
