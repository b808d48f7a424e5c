"""The judge finds what is wrong: events lost or counted twice, and messages that are not what they were."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from tests.faults.judgement import (
    counted_once,
    crossings_follow_scores,
    delivered_to_subscribers,
    scores_are_exact,
    stages_follow_crossings,
    told_to_the_end,
)
from tests.faults.ledger import Event, Ledger, Outcome
from tests.faults.reading import SCORES, STAGES, THRESHOLDS, Said, Story

AT = "2026-03-01T12:00:00+00:00"


THEN = datetime.fromisoformat("2026-03-01T12:01:00+00:00")


def an_event(id_: str, type_: str = "form_submitted") -> Event:
    return {
        "id": id_,
        "source": "web",
        "type": type_,
        "occurred_at": AT,
        "received_at": AT,
        "properties": {},
    }


def a_ledger(**outcomes: Outcome) -> Ledger:
    ledger = Ledger()
    for id_, outcome in outcomes.items():
        ledger.add(an_event(id_))
        ledger.note([id_], outcome)
    return ledger


def recorded(sequence: int, *ids: str, type_: str = "form_submitted") -> dict[str, Any]:
    events = [an_event(id_, type_) for id_ in ids]
    return _message("lead.events_recorded", sequence, events=events)


def scored(sequence: int, count: int) -> dict[str, Any]:
    scores = {"count": count, "engagement": 0.0, "buzz": 0.0, "fit": 0.0, "total": 0.0}
    return _message("lead.score_changed", sequence, at=AT, current={"scores": scores})


def entered(sequence: int, threshold: str) -> dict[str, Any]:
    return _message("lead.threshold_entered", sequence, threshold=threshold)


def left(sequence: int, threshold: str) -> dict[str, Any]:
    return _message("lead.threshold_left", sequence, threshold=threshold)


def moved(sequence: int, to_stage: str) -> dict[str, Any]:
    return _message("lead.stage_changed", sequence, to_stage=to_stage)


def _message(type_: str, sequence: int, **data: Any) -> dict[str, Any]:
    return {"id": f"{type_}-{sequence}", "type": type_, "subject": "lead", "data": {"sequence": sequence, **data}}


def a_story(*messages: Mapping[str, Any], stored: set[str], delivered: bool = True) -> Story:
    story = Story({SCORES: Said(), THRESHOLDS: Said(), STAGES: Said()}, Said(), stored, dead=0, published=len(stored))
    for message in messages:
        topic = {"lead.threshold": THRESHOLDS, "lead.stage": STAGES}.get(message["type"].partition("_")[0], SCORES)
        story.topics[topic].hear(message["id"], to_json(message))
        if delivered and message["type"] != "lead.events_recorded":
            story.delivered.hear(message["id"], to_json(message))
    return story


def test_all_is_well_when_the_acknowledged_are_counted_and_some_of_the_unknown() -> None:
    ledger = a_ledger(a=Outcome.OK, b=Outcome.UNKNOWN, c=Outcome.UNKNOWN)
    story = a_story(recorded(1, "a", "b"), scored(2, 2), stored={"a", "b"})

    assert [*counted_once(ledger, story), *scores_are_exact(ledger, story)] == []


def test_an_acknowledged_event_that_is_not_counted_is_found() -> None:
    assert list(counted_once(a_ledger(a=Outcome.OK), a_story(stored=set()))) == ["1 acknowledged and not counted: a"]


def test_an_event_that_counts_though_it_was_refused_is_found() -> None:
    story = a_story(recorded(1, "a"), stored={"a"})

    assert list(counted_once(a_ledger(a=Outcome.FAILED), story)) == ["1 counted though refused: a"]


def test_an_event_that_is_told_twice_is_found() -> None:
    story = a_story(recorded(1, "a"), recorded(2, "a"), stored={"a"})

    assert list(counted_once(a_ledger(a=Outcome.OK), story)) == ["1 told twice: a"]


def test_an_event_that_is_stored_and_never_told_is_found() -> None:
    assert list(counted_once(a_ledger(a=Outcome.OK), a_story(stored={"a"}))) == ["1 stored and not told: a"]


def test_a_score_that_counts_an_event_twice_is_found() -> None:
    (found,) = scores_are_exact(a_ledger(a=Outcome.OK), a_story(recorded(1, "a"), scored(2, 2), stored={"a"}))

    assert "'count': (2, 1.0)" in found


def test_a_crossing_that_nobody_was_told_of_is_found_and_one_that_was_is_none() -> None:
    told = a_story(scored(1, 3), entered(1, "regular"), stored=set())
    untold = a_story(scored(1, 3), stored=set())

    assert list(crossings_follow_scores(told)) == []
    assert list(crossings_follow_scores(untold)) == ["lead lead, threshold regular: [] was told, ['entered'] was due"]


def test_events_after_which_no_score_was_told_are_found() -> None:
    told = [recorded(1, "a"), scored(2, 1)]

    assert list(told_to_the_end(Ledger(), a_story(*told, stored=set()), THEN)) == []
    (found,) = told_to_the_end(Ledger(), a_story(*told, recorded(3, "b"), stored=set()), THEN)
    assert found == "lead lead was last told to count 1, not 2.0"


def test_a_crossing_by_time_alone_that_nobody_was_told_of_is_found() -> None:
    chatted = [recorded(1, "a", type_="chat_message"), scored(2, 1), entered(1, "loud")]

    assert list(told_to_the_end(Ledger(), a_story(*chatted, left(2, "loud"), stored=set()), THEN)) == []
    (found,) = told_to_the_end(Ledger(), a_story(*chatted, stored=set()), THEN)
    assert found.startswith("lead lead, threshold loud: last told lead.threshold_entered, is 0.00")


def test_a_lead_that_was_not_told_to_be_where_its_thresholds_bring_it_is_found() -> None:
    told = [scored(1, 3), entered(1, "regular"), moved(1, "new")]

    assert list(stages_follow_crossings(a_story(*told, moved(2, "engaged"), stored=set()))) == []
    (found,) = stages_follow_crossings(a_story(*told, stored=set()))
    assert found == "lead lead was last told to be in new, it is in engaged"


def test_a_message_that_the_subscriber_never_got_is_found() -> None:
    story = a_story(scored(1, 1), stored=set(), delivered=False)

    assert list(delivered_to_subscribers(story)) == ["1 on the log and not at the subscriber: lead.score_changed-1"]


def test_a_message_that_comes_again_with_other_bytes_is_found() -> None:
    story = a_story(scored(1, 1), stored=set())
    story.delivered.hear("lead.score_changed-1", b"{}")

    assert "webhooks: other bytes under the same id" in next(delivered_to_subscribers(story))
