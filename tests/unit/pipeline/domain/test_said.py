"""What events of people and CRMs mean."""

import pytest

from services.pipeline.domain.said import asked_move, deal_facts, sets_off_rules, word_on
from services.pipeline.domain.stages import Move
from shared.events.json import Json
from tests.support.pipeline import a_pipeline, a_recorded_event

STAGES: list[Json] = [
    {"id": "new", "initial": True},
    {"id": "proposal", "known_as": ["presentationscheduled", "Angebot"]},
    {"id": "partner", "terminal": "won"},
    {"id": "won", "terminal": "won", "known_as": "closedwon"},
    {"id": "lost", "terminal": "lost"},
    {"id": "disqualified", "terminal": "lost"},
]
PIPELINE = a_pipeline(stages=STAGES)


def asked(kind: str, **properties: Json) -> Move | None:
    return asked_move(a_recorded_event(kind, source="hubspot", **properties), PIPELINE.stages)  # type: ignore[arg-type] # none is `at`


@pytest.mark.parametrize(
    ("kind", "properties", "to"),
    [
        ("stage_changed", {"stage": "proposal"}, "proposal"),
        ("stage_changed", {"stage": "presentationscheduled"}, "proposal"),
        ("stage_changed", {"stage": "Angebot"}, "proposal"),
        ("stage_changed", {"stage": "nowhere"}, "nowhere"),
        ("stage_changed", {}, ""),
        ("deal_won", {}, "partner"),
        ("deal_won", {"stage": "closedwon"}, "won"),
        ("deal_lost", {}, "lost"),
        ("deal_lost", {"stage": "disqualified"}, "disqualified"),
    ],
    ids=[
        "a stage by its id",
        "a stage by a CRM's name",
        "or by another",
        "an unknown stage",
        "a stage that is not named",
        "won: the first stage that is",
        "won, and which",
        "lost: the first stage that is",
        "lost, and which",
    ],
)
def test_an_event_asks_for_a_move(kind: str, properties: dict[str, Json], to: str) -> None:
    move = asked(kind, **properties)

    assert move == Move(to, "crm", actor="hubspot")


def test_a_pipeline_without_such_an_ending_has_an_unknown_stage_asked_for() -> None:
    bare = a_pipeline(stages=[{"id": "new", "initial": True}])

    move = asked_move(a_recorded_event("deal_won"), bare.stages)

    assert move is not None
    assert bare.stages.find(move.to) is None


@pytest.mark.parametrize("kind", ["page_viewed", "deal_updated", "deal_created", "criterion_confirmed"])
def test_other_events_ask_for_none(kind: str) -> None:
    assert asked(kind, stage="proposal") is None


def test_a_move_has_its_actor_reason_and_override() -> None:
    move = asked("deal_lost", actor="bo", reason="too dear", override=True, by="person")

    assert move == Move("lost", "person", actor="bo", reason="too dear", override=True)


@pytest.mark.parametrize("kind", ["deal_created", "deal_updated", "deal_won", "deal_lost", "stage_changed"])
def test_whatever_is_said_of_the_deal_brings_its_facts(kind: str) -> None:
    event = a_recorded_event(kind, owner="bo", amount=5_000, close_date="2026-06-01", mood="good")

    assert {name: fact.value for name, fact in deal_facts(event).items()} == {
        "owner": "bo",
        "amount": 5_000,
        "close_date": "2026-06-01",
    }


def test_an_event_that_is_not_about_a_deal_has_no_facts_of_one() -> None:
    assert deal_facts(a_recorded_event("page_viewed", amount=5)) == {}


@pytest.mark.parametrize(("source", "speaker"), [("api", "person"), ("hubspot", "crm")])
def test_a_word_is_of_whoever_speaks(source: str, speaker: str) -> None:
    word = word_on(a_recorded_event("criterion_refuted", source=source, criterion="need", actor="bo", note="no"))

    assert word is not None
    assert (word.criterion, word.confirmed, word.source, word.actor, word.note) == (
        "need",
        False,
        speaker,
        "bo",
        "no",
    )


def test_no_rule_acts_on_robots_nor_on_what_the_pipeline_did_itself() -> None:
    assert sets_off_rules(a_recorded_event("page_viewed"))
    assert not sets_off_rules(a_recorded_event("page_viewed", machine=True))
    assert not sets_off_rules(a_recorded_event("score_reset", source="leadflow-pipeline"))
