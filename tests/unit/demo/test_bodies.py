"""Deeds in the words of the platforms: read by the sources of leadflow as what was meant."""

from collections import Counter
from datetime import UTC, datetime

from services.demo.bodies import body_of, element_of
from services.demo.diary import Channel, Deed
from services.demo.posting import posts_of
from services.demo.webhooks import EVENT_NAMES, SOURCES
from services.ingest.domain.draft import Draft
from services.ingest.kinds.kind import Delivery, Parked, Source, Translated
from services.ingest.kinds.registry import KINDS
from shared.events.json import parse_json
from tests.unit.demo.stories import SEED, the_posts, the_story

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def drafts(channel: Channel) -> list[tuple[Deed, Draft | Parked]]:
    """What leadflow's source of that kind makes of every deed of the channel."""
    source = Source(channel.value, "default", channel.value, (), event_names=EVENT_NAMES.get(channel, {}))
    found: list[tuple[Deed, Draft | Parked]] = []
    for deed in the_story():
        if deed.channel is channel:
            element = parse_json(element_of(deed))
            assert isinstance(element, dict)
            delivery = Delivery("POST", {"webhook-id": f"msg_{deed.id}"}, b"", NOW)
            translated = KINDS[channel.value].translate(element, delivery, source)
            assert isinstance(translated, Parked | Translated)
            found.append((deed, translated if isinstance(translated, Parked) else translated.draft))
    return found


def test_bodies_are_the_same_bytes_in_every_run() -> None:
    first = [body_of(post) for post in the_posts()]
    second = [body_of(post) for post in posts_of(the_story(), seed=SEED)]

    assert first == second


def test_every_source_understands_its_platform_but_for_what_nobody_has_mapped() -> None:
    parked = [
        (channel, deed.facts.get("event"))
        for channel in SOURCES
        for deed, draft in drafts(channel)
        if isinstance(draft, Parked)
    ]

    assert set(parked) == {(Channel.SITE, "Cookie Banner Closed")}


def test_the_moment_and_the_address_arrive_as_they_were() -> None:
    for channel in SOURCES:
        for deed, draft in drafts(channel):
            if isinstance(draft, Draft):
                assert draft.occurred_at == deed.at
                assert draft.lead.email in {None, deed.person.email}


def test_distinct_deeds_have_distinct_ids_whatever_their_platform_calls_them() -> None:
    for channel in SOURCES:
        ids = Counter(draft.id for _, draft in drafts(channel) if isinstance(draft, Draft))
        assert set(ids.values()) == {1}


def test_answers_of_a_form_are_facts_about_the_lead() -> None:
    answers = [
        draft.attributes for deed, draft in drafts(Channel.FORM) if isinstance(draft, Draft) and deed.what == "demo"
    ]

    assert answers
    assert all({"budget", "use_case", "timeline_months"} <= attributes.keys() for attributes in answers)
