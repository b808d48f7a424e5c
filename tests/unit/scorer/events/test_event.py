"""When an event counts as having happened."""

from shared.events.curve import microseconds
from tests.support.builders import an_event, at


def test_an_event_happened_when_it_says() -> None:
    assert an_event("2026-03-02T10:00", received="2026-03-05T10:00").at_us == microseconds(at("2026-03-02T10:00"))


def test_an_event_from_the_future_happened_when_it_was_received() -> None:
    assert an_event("2030-03-02T10:00", received="2026-03-02T10:00").at_us == microseconds(at("2026-03-02T10:00"))
