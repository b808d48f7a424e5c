"""Events as text: an array or a line each, every event once."""

import pytest

from services.scorer.domain.events.text import read_events
from shared.errors import InvalidInput
from tests.support.builders import at

FIRST = (
    b'{"id": "1", "source": "web", "type": "x", "occurred_at": "2026-03-02T10:00:00Z", "lead": {"email": "a@b.c"}}'
)
AGAIN = FIRST.replace(b"T10", b"T11")
OTHER = FIRST.replace(b'"web"', b'"crm"')


@pytest.mark.parametrize(
    "body", [b"[" + FIRST + b"," + AGAIN + b"," + OTHER + b"]", b"\n".join([FIRST, AGAIN, OTHER])]
)
def test_of_events_with_one_identity_the_first_stands(body: bytes) -> None:
    events = read_events(body)

    assert [(event.source, event.occurred_at) for event in events] == [
        ("web", at("2026-03-02T10:00")),
        ("crm", at("2026-03-02T10:00")),
    ]


def test_what_was_left_out_is_empty() -> None:
    (event,) = read_events(FIRST)

    assert (event.properties, event.attributes, event.received_at) == ({}, {}, None)


@pytest.mark.parametrize("body", [b"{", b"1", b'["x"]', b'{"id": ""}', FIRST.replace(b"2026", b"12026")])
def test_anything_else_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        read_events(body)
