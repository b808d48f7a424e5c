"""Where a lead came from: whatever the order in which it is heard, and whoever turned out to be the same."""

from datetime import timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.pipeline.domain.facts import Happened
from services.pipeline.domain.past import NO_PAST, Past, after_facts, united
from services.pipeline.domain.touches import Touch, first_of, first_touch, last_of, named_touch_of, touch_of
from shared.events.json import Json
from shared.events.scores import RecordedEvent
from tests.support.pipeline import NOON, a_recorded_event

HOUR = timedelta(hours=1)


@st.composite
def events(draw: st.DrawFn) -> RecordedEvent:
    """Few moments and few ids, so that many are equal."""
    named: dict[str, Json] = draw(
        st.dictionaries(
            st.sampled_from(["utm_source", "utm_campaign", "campaign", "machine"]), st.sampled_from(["a", "b"])
        )
    )
    if "machine" in named:
        named["machine"] = True
    identity = {"id": draw(st.sampled_from(["1", "2"])), "source": draw(st.sampled_from("st"))}
    event = a_recorded_event("page_viewed", NOON + draw(st.integers(0, 3)) * HOUR)
    return replace(event, properties=named, **identity)


def first_heard(heard: list[RecordedEvent]) -> Touch | None:
    """One by one; all at once it is the same."""
    found: Touch | None = None
    for event in heard:
        found = first_touch(found, [event])
    assert found == first_touch(None, heard) == first_of(*map(touch_of, heard))
    return found


def past_of(heard: list[RecordedEvent]) -> Past:
    return after_facts(NO_PAST, [Happened(event.occurred_at, event) for event in heard])


def by_id(heard: list[RecordedEvent]) -> list[RecordedEvent]:
    """An event is told once: of those with one identity, one."""
    return list({(event.source, event.id, event.occurred_at): event for event in heard}.values())


@given(st.lists(events(), max_size=4))
def test_first_and_last_touch_do_not_depend_on_the_order(heard: list[RecordedEvent]) -> None:
    heard = by_id(heard)
    assert len({first_heard(list(order)) for order in permutations(heard)}) == 1
    assert len({past_of(list(order)).last_touch for order in permutations(heard)}) == 1


@given(st.lists(events(), max_size=6), st.integers(0, 6))
def test_leads_that_are_one_have_the_touches_of_one(heard: list[RecordedEvent], cut: int) -> None:
    heard = by_id(heard)
    one, other = heard[:cut], heard[cut:]

    assert first_of(first_heard(one), first_heard(other)) == first_heard(heard)
    together = united(past_of(one), past_of(other)).last_touch
    assert together == united(past_of(other), past_of(one)).last_touch == past_of(heard).last_touch


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, ("website", None, None)),
        ({"utm_source": "google", "utm_medium": "cpc", "utm_campaign": "spring"}, ("google", "spring", "cpc")),
        ({"campaign": "Newsletter 7"}, ("website", "Newsletter 7", None)),
        ({"campaign": {"name": "Spring"}}, ("website", "Spring", None)),
        ({"campaign_id": 42}, ("website", "42", None)),
        ({"utm_campaign": "spring", "campaign": "other"}, ("website", "spring", None)),
        ({"url": "https://a.example/x?utm_source=bing&utm_campaign=c%20d"}, ("bing", "c d", None)),
        ({"url": "https://a.example/x?utm_source=bing", "utm_source": "google"}, ("google", None, None)),
        ({"url": "http://[broken?utm_source=x"}, ("website", None, None)),
        ({"utm_source": "  ", "utm_campaign": 1.5}, ("website", None, None)),
        ({"utm_source": "x" * 999}, ("x" * 200, None, None)),
    ],
)
def test_what_an_event_names(properties: dict[str, Json], expected: tuple[str, str | None, str | None]) -> None:
    event = replace(a_recorded_event("page_viewed", source="website"), properties=properties)

    touch = touch_of(event)

    assert (touch.source, touch.campaign, touch.medium) == expected


@pytest.mark.parametrize(
    "event",
    [
        a_recorded_event("page_viewed"),
        a_recorded_event("email_delivered", campaign="spring"),
        a_recorded_event("email_clicked", campaign="spring", machine=True),
    ],
)
def test_a_last_touch_is_the_leads_own_doing_and_names_where_it_came_from(event: RecordedEvent) -> None:
    assert named_touch_of(event) is None


def test_the_last_touch_outlasts_events_that_name_nothing() -> None:
    clicked = a_recorded_event("email_clicked", NOON, campaign="spring")
    used = a_recorded_event("feature_used", NOON + HOUR)

    assert past_of([clicked, used]).last_touch == last_of(touch_of(clicked))
