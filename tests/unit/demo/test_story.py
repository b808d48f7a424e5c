"""Two weeks of a market."""

from collections import Counter, defaultdict
from datetime import timedelta

from services.demo.company import Persona
from services.demo.diary import Channel, Deed
from services.demo.story import SPAN, story_of
from tests.unit.demo.stories import SEED, UNTIL, the_story


def whats(channel: Channel) -> Counter[str]:
    return Counter(deed.what for deed in the_story() if deed.channel is channel)


def test_the_same_seed_and_end_tell_the_same_story_to_the_last_id() -> None:
    assert story_of(SEED, UNTIL) == the_story()
    assert story_of(SEED + 1, UNTIL) != the_story()


def test_it_fills_two_weeks_and_is_told_in_order() -> None:
    deeds = the_story()

    assert all(UNTIL - SPAN <= deed.at <= deed.told_at <= UNTIL for deed in deeds)
    assert deeds == sorted(deeds, key=lambda deed: (deed.told_at, deed.id))
    assert len({deed.at.date() for deed in deeds}) > 12


def test_every_deed_has_an_id_of_its_own() -> None:
    assert len({deed.id for deed in the_story()}) == len(the_story())


def test_some_deeds_are_told_days_late() -> None:
    late = [deed for deed in the_story() if deed.told_at - deed.at > timedelta(days=1)]

    assert len(the_story()) / 100 < len(late) < len(the_story()) / 10


def test_every_system_has_something_to_tell() -> None:
    assert {deed.channel for deed in the_story()} == set(Channel)
    assert whats(Channel.MAIL).keys() >= {"delivered", "open", "click", "bounce", "unsubscribe"}
    assert whats(Channel.MEETING).keys() >= {"invitee.created", "invitee.canceled"}
    assert whats(Channel.API).keys() >= {
        "stage_changed",
        "meeting_held",
        "note_added",
        "criterion_confirmed",
        "event_voided",
        "score_adjusted",
        "score_reset",
    }


def test_visitors_who_stay_anonymous_do_nothing_but_look() -> None:
    visitors = [deed for deed in the_story() if deed.person.persona is Persona.VISITOR]

    assert {deed.channel for deed in visitors} == {Channel.SITE}
    assert not any(deed.facts["known"] for deed in visitors)


def test_visits_of_those_who_become_known_begin_before_anybody_knows_them() -> None:
    by_person: dict[int, list[Deed]] = defaultdict(list)
    for deed in the_story():
        if deed.person.persona is Persona.CHAMPION and deed.channel is Channel.SITE:
            by_person[deed.person.number].append(deed)

    firsts = [min(deeds, key=lambda deed: deed.at) for deeds in by_person.values()]

    assert firsts
    assert not any(deed.facts["known"] for deed in firsts)


def test_what_is_voided_was_said_before_by_the_same_system() -> None:
    said = {deed.id for deed in the_story() if deed.channel is Channel.API}
    voided = [deed.facts["properties"] for deed in the_story() if deed.what == "event_voided"]

    assert voided
    assert all(isinstance(properties, dict) and properties["event_id"] in said for properties in voided)
