"""The one guard of every move."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pipeline.domain.criteria import fields_of
from services.pipeline.domain.stages import Move, MovePolicy, Mover, Stages, candidates, further, refusal
from services.pipeline.domain.triggers import Fresh, Situation
from shared.events.json import Json
from tests.support.pipeline import a_pipeline

STAGES = a_pipeline().stages
IDS = [stage.id for stage in STAGES.order]
STRICT = replace(STAGES, moves=MovePolicy(back=False, skip=False))


def code(move: Move, current: str, stages: Stages = STAGES, **attributes: Json) -> str | None:
    refused = refusal(stages, move, current=current, fields=fields_of(attributes))
    return refused.code if refused else None


def test_a_stage_that_is_none_is_refused_even_to_an_override() -> None:
    assert code(Move("x", "person", "ada", "because", override=True), "new") == "unknown_stage"
    assert code(Move("new", "person", "ada", "because", override=True), "new") == "same_stage"


def test_way_back_is_allowed_or_refused_by_the_document() -> None:
    assert code(Move("new", "person"), "mql") is None
    assert code(Move("new", "person"), "mql", STRICT) == "back_refused"


def test_skipping_is_allowed_or_refused_by_the_document() -> None:
    assert code(Move("mql", "crm"), "new") is None
    assert code(Move("mql", "crm"), "new", STRICT) == "skip_refused"
    assert code(Move("engaged", "crm"), "new", STRICT) is None


def test_losing_skips_nothing_and_neither_does_a_way_that_the_document_names() -> None:
    assert code(Move("lost", "crm", reason="no budget"), "new", STRICT) is None
    assert code(Move("nurture", "rule", named=True), "engaged", STRICT) is None
    assert code(Move("nurture", "crm"), "new", STRICT) == "skip_refused"


def test_a_terminal_stage_is_left_only_where_the_document_allows() -> None:
    allowed = replace(STAGES, moves=MovePolicy(from_terminal=True))

    assert code(Move("new", "person"), "lost") == "from_terminal_refused"
    assert code(Move("new", "person"), "lost", allowed) is None


def test_what_a_stage_requires_must_be_there() -> None:
    proposal = Move("proposal", "crm")

    assert code(proposal, "sql") == "requirement_missing"
    assert code(proposal, "sql", amount=5) == "requirement_missing"
    assert code(proposal, "sql", amount=0, close_date="2026-06-01") is None
    assert code(Move("lost", "crm"), "sql") == "requirement_missing"


def test_an_override_needs_an_actor_and_a_reason_and_is_no_rules() -> None:
    assert code(Move("won", "person", "ada", "signed", override=True), "lost") is None
    assert code(Move("won", "person", "ada", override=True), "lost") == "override_unexplained"
    assert code(Move("won", "crm", reason="signed", override=True), "lost") == "override_unexplained"
    assert code(Move("won", "rule", "x", "y", override=True), "lost") == "override_unexplained"


def test_a_rule_goes_back_only_if_it_names_where_it_comes_from() -> None:
    assert code(Move("engaged", "rule"), "mql") == "rule_not_forward"
    assert code(Move("engaged", "rule", named=True), "mql") is None


@given(
    to=st.sampled_from(IDS),
    current=st.sampled_from(IDS),
    by=st.sampled_from(["rule", "crm", "person"]),
    reason=st.sampled_from([None, "because"]),
    policy=st.builds(MovePolicy, st.booleans(), st.booleans(), st.booleans()),
)
def test_crm_and_person_are_held_to_the_same_and_a_rule_to_no_less(
    to: str, current: str, by: Mover, reason: str | None, policy: MovePolicy
) -> None:
    stages = replace(STAGES, moves=policy)
    move = Move(to, by, reason=reason)

    assert code(replace(move, by="crm"), current, stages) == code(replace(move, by="person"), current, stages)
    if code(replace(move, by="person"), current, stages) is not None:
        assert code(replace(move, by="rule"), current, stages) is not None


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("new", "mql", "mql"),
        ("lost", "new", "new"),
        ("won", "negotiation", "won"),
        ("lost", "won", "won"),
        ("vanished", "new", "new"),
    ],
)
def test_of_two_stages_the_further_is_won_before_open_before_lost(one: str, other: str, expected: str) -> None:
    assert further(STAGES, one, other) == further(STAGES, other, one) == expected


def some(names: list[str]) -> st.SearchStrategy[frozenset[str]]:
    return st.frozensets(st.sampled_from(names), max_size=2)


@given(
    fresh=st.builds(
        Fresh,
        entered=some(["warm", "mql", "unknown"]),
        left=some(["warm", "mql", "unknown"]),
        events=some(["demo_requested", "page_viewed", "mql"]),
        judged=st.booleans(),
        moved=st.booleans(),
    ),
    stage=st.sampled_from(IDS),
    verdict=st.sampled_from(["open", "qualified", "disqualified"]),
)
def test_what_sets_off_a_rule_is_heeded(fresh: Fresh, stage: str, verdict: str) -> None:
    situation = Situation(stage, fresh.entered, verdict, fresh)

    assert STAGES.heed(fresh) or not candidates(STAGES, situation, frozenset())


def test_an_event_of_a_type_that_no_rule_names_is_not_heeded() -> None:
    assert STAGES.heed(Fresh(events=frozenset({"demo_requested"})))
    assert not STAGES.heed(Fresh(events=frozenset({"page_viewed"})))
