"""A dead letter keeps the bytes and says where they came from and why nobody could handle them."""

from datetime import UTC, datetime

from shared.log.dead_letter import DeadLetter, _enveloped
from shared.log.protocol import MAX_RECORD_BYTES, Partition, ReceivedRecord, size_of

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
