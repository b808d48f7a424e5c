"""A lead through its life: what each message makes of it."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.pipeline.domain import lead as domain
from services.pipeline.domain.facts import Crossed, Fact, Judged, Moved, MoveRefused, Scored, Stalled
from services.pipeline.domain.lead import Lead
from services.pipeline.domain.stages import Move
from shared.events.json import Json
from shared.events.scores import RecordedEvent, ThresholdPosition
from tests.support.pipeline import (
    LEAD,
    NOON,
    OTHER,
    QUALIFYING,
    Position,
    a_pipeline,
    a_position,
    a_recorded_event,
    a_score_change,
    merged,
    recorded,
)

PIPELINE = a_pipeline()
HOUR = timedelta(hours=1)
NOBODY = Lead("default", LEAD)


def scored(lead: Lead, hour: int = 0, **thresholds: Position) -> tuple[Lead, list[Fact]]:
    """The lead after a score, `hour` hours after NOON, with these positions."""
    positions: dict[str, ThresholdPosition] = {name: a_position(position) for name, position in thresholds.items()}
    change = a_score_change(hour + 1, NOON + hour * HOUR, thresholds=positions, attributes=lead.attributes)
    after, facts = domain.after_score(lead, change.data, PIPELINE)
    return after, list(facts)


def seen(lead: Lead, *events: RecordedEvent, attributes: dict[str, Json] | None = None) -> tuple[Lead, list[Fact]]:
    """The lead after these events."""
    message = recorded(1, *events, attributes={**lead.attributes, **(attributes or {})})
    after, facts = domain.after_events(lead, message.data, PIPELINE)
    return after, list(facts)


def standing_in(stage: str) -> Lead:
    """A lead that a person has put into `stage`."""
    lead, _ = seen(NOBODY, a_recorded_event("page_viewed"))
    move = Move(stage, "person", "ada", "for the test", override=True)
    return domain.after_request(lead, move, PIPELINE, NOON)[0]


def walk(facts: list[Fact]) -> list[str]:
    return [fact.to.id for fact in facts if isinstance(fact, Moved)]


def stage_of(lead: Lead) -> str | None:
    return lead.stay.stage if lead.stay else None


def test_a_lead_begins_in_the_initial_stage_when_first_heard_of() -> None:
    _, facts = seen(NOBODY, a_recorded_event("page_viewed", NOON - HOUR))

    (begun,) = [fact for fact in facts if isinstance(fact, Moved)]
    assert (begun.from_stage, begun.to.id, begun.at, begun.by) == (None, "new", NOON - HOUR, "rule")


def test_rules_fire_in_a_row_in_the_order_of_the_document() -> None:
    lead, facts = scored(NOBODY, warm="reached", mql="reached")
    assert walk(facts) == ["new", "engaged", "mql"]

    _, facts = seen(lead, a_recorded_event("form_submitted"), attributes=QUALIFYING)
    assert walk(facts) == ["sql"]


def test_a_lead_that_is_ruled_out_is_not_advanced_on_the_way() -> None:
    lead, _ = seen(NOBODY, a_recorded_event("page_viewed"))

    _, facts = seen(lead, a_recorded_event("demo_requested"), attributes={"email_domain": "competitor.example"})

    assert walk(facts) == ["disqualified"]


def test_a_lead_that_leaves_a_threshold_is_nurtured_only_from_where_the_rule_says() -> None:
    lead, _ = scored(NOBODY, mql="reached")
    after, facts = scored(lead, 1, mql="below")
    assert (stage_of(after), walk(facts)) == ("nurture", ["nurture"])

    lead, _ = scored(standing_in("proposal"), mql="reached")
    after, facts = scored(lead, 1, mql="below")
    assert (stage_of(after), walk(facts)) == ("proposal", [])


def test_who_is_moved_back_by_a_person_is_not_overruled_by_what_was_true_all_along() -> None:
    lead, _ = scored(NOBODY, warm="reached", mql="reached")
    lead, _ = domain.after_request(lead, Move("new", "person", "ada"), PIPELINE, NOON + HOUR)

    after, facts = scored(lead, 2, warm="reached", mql="reached")

    assert (stage_of(after), walk(facts)) == ("new", [])


def test_a_robots_event_moves_nobody() -> None:
    after, _ = seen(NOBODY, a_recorded_event("demo_requested", machine=True))

    assert stage_of(after) == "new"


def test_an_event_and_the_threshold_it_led_to_count_together() -> None:
    both: list[Json] = [
        {"id": "new", "initial": True},
        {"id": "hot", "enter_when": {"all": [{"event": "demo_requested"}, {"threshold": "hot"}]}},
    ]
    pipeline = a_pipeline(stages=both)
    event = a_recorded_event("demo_requested")
    lead, _ = domain.after_events(NOBODY, recorded(1, event).data, pipeline)

    change = a_score_change(2, thresholds={"hot": a_position("reached")}, event_types=["demo_requested"])
    after, _ = domain.after_score(lead, change.data, pipeline)

    assert stage_of(after) == "hot"


def test_a_rule_that_the_guard_refuses_is_told_and_changes_nothing() -> None:
    demanding: list[Json] = [
        {"id": "new", "initial": True},
        {"id": "next", "enter_when": {"event": "demo_requested"}, "requires": ["attributes.budget"]},
    ]
    pipeline = a_pipeline(stages=demanding, qualification=None)

    after, facts = domain.after_events(NOBODY, recorded(1, a_recorded_event("demo_requested")).data, pipeline)

    assert stage_of(after) == "new"
    assert [fact.code for fact in facts if isinstance(fact, MoveRefused)] == ["requirement_missing"]


def test_a_word_confirmed_by_a_crm_can_qualify() -> None:
    lead, _ = seen(NOBODY, a_recorded_event("page_viewed"), attributes={"budget": 20_000, "use_case": "x"})

    after, facts = seen(
        lead, a_recorded_event("criterion_confirmed", source="hubspot", criterion="authority", actor="bo")
    )

    assert after.verdict.state == "qualified"
    (judged,) = [fact for fact in facts if isinstance(fact, Judged)]
    assert {item.criterion: item.source for item in judged.evidence}["authority"] == "crm"


def test_the_latest_word_of_the_crm_on_the_deal_stands() -> None:
    lead, _ = seen(NOBODY, a_recorded_event("deal_updated", NOON + HOUR, amount=2, owner="bo"))
    lead, _ = seen(lead, a_recorded_event("deal_updated", NOON, amount=1, close_date="2026-06-01"))

    assert {name: fact.value for name, fact in lead.deal.items()} == {
        "amount": 2,
        "owner": "bo",
        "close_date": "2026-06-01",
    }


def test_a_crm_that_repeats_the_stage_a_lead_stands_in_is_no_refusal() -> None:
    lead, _ = scored(NOBODY, mql="reached")

    _, facts = seen(lead, a_recorded_event("stage_changed", NOON + HOUR, source="hubspot", stage="mql"))

    assert not [fact for fact in facts if isinstance(fact, Moved | MoveRefused)]


def test_no_stay_ends_before_it_began_however_late_an_event_is() -> None:
    lead, _ = scored(NOBODY, 5, mql="reached")

    after, _ = seen(lead, a_recorded_event("stage_changed", NOON, stage="lost", reason="no budget"))

    assert after.stay is not None
    assert after.stay.since == NOON + 5 * HOUR


def test_a_threshold_that_the_model_has_no_more_is_left() -> None:
    lead, _ = scored(NOBODY, hot="reached")

    after, facts = scored(lead, 1)

    (crossed,) = [fact for fact in facts if isinstance(fact, Crossed)]
    assert (crossed.threshold, crossed.crossing.direction) == ("hot", "left")
    assert after.thresholds == {}


def test_a_lead_stalls_once_per_stay() -> None:
    lead, _ = scored(NOBODY, mql="reached")
    assert lead.stay is not None
    assert lead.stay.due_at is not None
    before, nothing = domain.after_moments(lead, PIPELINE, lead.stay.due_at - timedelta(microseconds=1))
    assert (before, nothing) == (lead, ())

    stalled, facts = domain.after_moments(lead, PIPELINE, lead.stay.due_at + HOUR)
    again, nothing = domain.after_moments(stalled, PIPELINE, lead.stay.due_at + 2 * HOUR)

    assert facts == (Stalled(lead.stay.due_at, "mql", NOON),)
    assert (again, nothing) == (stalled, ())


def test_a_merge_keeps_the_further_stay_with_its_due_moment_and_adds_what_was_known() -> None:
    absorbed, _ = scored(Lead("default", OTHER), mql="reached", hot="reached")
    absorbed, _ = domain.after_events(
        absorbed, recorded(2, a_recorded_event("deal_updated", owner="bo"), lead=OTHER).data, PIPELINE
    )
    lead, _ = seen(NOBODY, a_recorded_event("page_viewed"))

    after, facts = domain.after_merge(lead, absorbed, merged(3).data, pipeline=PIPELINE, at=NOON + HOUR)

    assert after.stay == absorbed.stay
    assert after.thresholds == absorbed.thresholds
    assert after.deal["owner"].value == "bo"
    (moved,) = [fact for fact in facts if isinstance(fact, Moved)]
    assert (moved.from_stage, moved.to.id) == ("new", "mql")


def test_scores_of_an_absorbed_lead_are_told_and_nothing_else() -> None:
    change = a_score_change(9, lead=OTHER, thresholds={"mql": a_position("reached")}).data

    assert domain.after_absorbed_score(NOBODY, change) == (NOBODY, (Scored(NOON, change, OTHER),))


POLICY = st.sampled_from(["allowed", "refused"])
STAGE_IDS = [stage.id for stage in PIPELINE.stages.order]
ACTS = st.lists(
    st.one_of(
        st.builds(
            a_recorded_event,
            st.sampled_from(["demo_requested", "page_viewed", "criterion_confirmed", "criterion_refuted"]),
            criterion=st.sampled_from(["budget", "authority", "need"]),
        ),
        st.builds(
            a_recorded_event,
            st.just("stage_changed"),
            stage=st.sampled_from([*STAGE_IDS, "nowhere"]),
            reason=st.sampled_from(["", "because"]),
            amount=st.sampled_from([None, 5_000]),
            close_date=st.just("2026-06-01"),
        ),
        st.dictionaries(st.sampled_from(["warm", "mql"]), st.sampled_from(["reached", "between", "below"])),
        st.builds(Move, st.sampled_from(STAGE_IDS), st.just("person"), reason=st.sampled_from([None, "because"])),
    ),
    max_size=12,
)


@given(acts=ACTS, back=POLICY, skip=POLICY, from_terminal=POLICY)
def test_no_path_moves_a_lead_where_the_document_forbids(
    acts: list[RecordedEvent | dict[str, Position] | Move], back: str, skip: str, from_terminal: str
) -> None:
    pipeline = a_pipeline(moves={"back": back, "skip": skip, "from_terminal": from_terminal})
    lead, moves = NOBODY, []
    for number, act in enumerate(acts):
        at = NOON + number * HOUR
        if isinstance(act, Move):
            if lead.stay is None:
                continue
            lead, fact = domain.after_request(lead, act, pipeline, at)
            facts: tuple[Fact, ...] = (fact,)
        elif isinstance(act, RecordedEvent):
            lead, facts = domain.after_events(lead, recorded(number + 1, act).data, pipeline)
        else:
            positions = {name: a_position(position) for name, position in act.items()}
            lead, facts = domain.after_score(
                lead, a_score_change(number + 1, at, thresholds=positions).data, pipeline
            )
        moves += [fact for fact in facts if isinstance(fact, Moved)]

    order = {stage.id: stage for stage in pipeline.stages.order}
    assert [move.from_stage for move in moves[1:]] == [move.to.id for move in moves[:-1]]
    for move in moves[1:]:
        assert move.from_stage is not None
        origin, target = order[move.from_stage], move.to
        named = origin.id in target.named_origins
        assert origin.terminal is None or from_terminal == "allowed"
        assert target.index > origin.index or back == "allowed" or named
        assert target.index > origin.index or move.by != "rule" or named
        if skip == "refused" and target.index > origin.index and target.terminal != "lost" and not named:
            between = pipeline.stages.order[origin.index + 1 : target.index]
            assert all(stage.terminal for stage in between)
        assert target.id != "lost" or move.why == "because"
        assert move.entered_at is not None
        assert move.at >= move.entered_at
