"""Whatever comes in whatever order, no lead stands where the document of the day forbids.

The checker below knows nothing of the guards: it reads the recorded history, and the documents as they were
published, and asks of every stage change whether that document allowed it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from services.pipeline.domain import lead as domain
from services.pipeline.domain.document import parse_pipeline
from services.pipeline.domain.facts import Fact, Moved, MoveRefused, Stalled
from services.pipeline.domain.lead import Lead
from services.pipeline.domain.stages import Move
from shared.events.json import Json
from tests.support.pipeline import (
    LEAD,
    NOON,
    OTHER,
    Position,
    a_position,
    a_recorded_event,
    a_score_change,
    merged,
    recorded,
)

HOUR = timedelta(hours=1)
STAGES = ("a", "b", "c", "d", "won", "lost")
EVENTS = ("demo_requested", "page_viewed")
ACTORS = st.sampled_from([None, "ada"])
REASONS = st.sampled_from([None, "because"])


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Json]:
    """Documents over the same few stages, each with its own order, rules, endings and policy."""
    ids = draw(st.lists(st.sampled_from(STAGES), min_size=3, max_size=6, unique=True))
    initial = draw(st.integers(0, len(ids) - 1))
    stages: list[Json] = []
    for place, stage_id in enumerate(ids):
        stage: dict[str, Json] = {"id": stage_id}
        if place == initial:
            stage["initial"] = True
        elif draw(st.booleans()):
            stage["requires"] = [draw(st.sampled_from(["reason", "attributes.amount"]))]
        if place != initial and stage_id in {"won", "lost"}:
            stage["terminal"] = stage_id
        elif draw(st.booleans()):
            stage["due"] = "3h"
        if draw(st.booleans()):
            rule: dict[str, Json] = dict(draw(st.sampled_from(RULES)))
            if draw(st.booleans()):
                rule["stage_in"] = list(draw(st.lists(st.sampled_from(ids), min_size=1, max_size=3, unique=True)))
            stage["enter_when"] = rule
        stages.append(stage)
    policy = st.sampled_from(["allowed", "refused"])
    return {
        "pipeline": "random",
        "qualification": {
            "criteria": {"budget": {"if": {"attributes.budget": {"gte": 10}}, "expires_after": "5h"}},
            "qualified": {"at_least": 1},
            "disqualified": [{"if": {"attributes.rival": True}, "reason": "rival"}],
        },
        "stages": stages,
        "moves": {"back": draw(policy), "skip": draw(policy), "from_terminal": draw(policy)},
    }


RULES: Sequence[Mapping[str, Json]] = (
    {"threshold": "warm"},
    {"left_threshold": "warm"},
    {"event": "demo_requested"},
    {"qualified": True},
    {"disqualified": True},
    {"any": [{"threshold": "warm"}, {"event": "demo_requested"}]},
)


@dataclass(frozen=True)
class Recorded:
    """A fact, the document in force, and what was known of the lead: nothing known is ever forgotten here."""

    fact: Fact
    document: dict[str, Json]
    known: Mapping[str, Json]


@dataclass
class History:
    """Two leads, what came to pass with each, and which document was in force."""

    document: dict[str, Json]
    leads: dict[str, Lead] = field(default_factory=lambda: {name: Lead("default", name) for name in (LEAD, OTHER)})
    recorded: dict[str, list["Recorded"]] = field(default_factory=lambda: {LEAD: [], OTHER: []})
    number: int = 0

    def __post_init__(self) -> None:
        self.publish(self.document)

    def publish(self, document: dict[str, Json]) -> None:
        self.document, self.pipeline = document, parse_pipeline(document)

    @property
    def now(self) -> datetime:
        return NOON + self.number * HOUR

    def after(self, name: str, unfold: Callable[[Lead], tuple[Lead, tuple[Fact, ...]]]) -> None:
        """Let something come to pass with the lead, or with who has absorbed it."""
        name = self.leads[name].absorbed_by or name
        self.number += 1
        self.leads[name], facts = unfold(self.leads[name])
        known = dict(self.leads[name].attributes) | {key: fact.value for key, fact in self.leads[name].deal.items()}
        self.recorded[name] += [Recorded(fact, self.document, known) for fact in facts]


Act = Callable[[History], None]


def an_event(name: str, kind: str, ago: int, attributes: dict[str, Json], properties: dict[str, Json]) -> Act:
    def act(history: History) -> None:
        happened = a_recorded_event(kind, history.now - ago * HOUR, **properties)  # type: ignore[arg-type] # none is `source`

        def unfold(lead: Lead) -> tuple[Lead, tuple[Fact, ...]]:
            message = recorded(1, happened, attributes={**lead.attributes, **attributes})
            return domain.after_events(lead, message.data, history.pipeline)

        history.after(name, unfold)

    return act


def a_score(name: str, position: Position) -> Act:
    def act(history: History) -> None:
        def unfold(lead: Lead) -> tuple[Lead, tuple[Fact, ...]]:
            positions = {"warm": a_position(position)}
            change = a_score_change(1, history.now, thresholds=positions, attributes=lead.attributes)
            return domain.after_score(lead, change.data, history.pipeline)

        history.after(name, unfold)

    return act


def a_person(name: str, move: Move) -> Act:
    def act(history: History) -> None:
        def unfold(lead: Lead) -> tuple[Lead, tuple[Fact, ...]]:
            lead, begun = domain.begun(lead, history.pipeline, history.now)
            lead, fact = domain.after_request(lead, move, history.pipeline, history.now)
            return lead, (*begun, fact)

        history.after(name, unfold)

    return act


def a_merge() -> Act:
    def act(history: History) -> None:
        absorbed = history.leads[OTHER]
        if absorbed.absorbed_by is not None:
            return

        def unfold(lead: Lead) -> tuple[Lead, tuple[Fact, ...]]:
            return domain.after_merge(lead, absorbed, merged(1).data, pipeline=history.pipeline, at=history.now)

        history.after(LEAD, unfold)
        history.leads[OTHER] = domain.gone(absorbed, LEAD)

    return act


def a_version(document: dict[str, Json]) -> Act:
    def act(history: History) -> None:
        before = {name: lead.stay for name, lead in history.leads.items()}
        history.publish(document)
        assert {name: lead.stay for name, lead in history.leads.items()} == before

    return act


def a_pause(name: str, hours: int) -> Act:
    def act(history: History) -> None:
        history.number += hours
        history.after(name, lambda lead: domain.after_moments(lead, history.pipeline, history.now))

    return act


NAMES = st.sampled_from([LEAD, OTHER])
AGO = st.integers(0, 3)
CRM_MOVE = st.fixed_dictionaries(
    {"stage": st.sampled_from(STAGES)}, optional={"reason": st.just("because"), "amount": st.just(500)}
)
CRM_PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "stage": st.sampled_from([*STAGES, "nowhere"]),
        "reason": st.just("because"),
        "amount": st.just(500),
        "actor": st.just("bo"),
        "override": st.just(True),
        "by": st.just("person"),
        "machine": st.just(True),
    },
)
ACTS = st.one_of(
    st.builds(
        an_event,
        NAMES,
        st.sampled_from(EVENTS),
        st.integers(0, 6),
        st.sampled_from([{}, {"budget": 20}, {"budget": 1}, {"rival": True}, {"rival": False}]),
        st.just({}),
    ),
    st.builds(
        an_event, NAMES, st.sampled_from(["deal_won", "deal_lost", "deal_updated"]), AGO, st.just({}), CRM_PROPERTIES
    ),
    st.builds(an_event, NAMES, st.just("stage_changed"), AGO, st.just({}), CRM_MOVE),
    st.builds(an_event, NAMES, st.just("stage_changed"), AGO, st.just({}), CRM_MOVE),
    st.builds(
        an_event,
        NAMES,
        st.sampled_from(["criterion_confirmed", "criterion_refuted"]),
        st.integers(0, 9),
        st.just({}),
        st.just({"criterion": "budget", "actor": "bo"}),
    ),
    st.builds(a_score, NAMES, st.sampled_from(["reached", "between", "below"])),
    st.builds(
        a_person,
        NAMES,
        st.builds(
            Move,
            st.sampled_from(STAGES),
            st.just("person"),
            actor=ACTORS,
            reason=REASONS,
            override=st.booleans(),
        ),
    ),
    st.builds(a_merge),
    st.builds(a_version, documents()),
    st.builds(a_pause, NAMES, st.integers(1, 8)),
)


@given(first=documents(), acts=st.lists(ACTS, min_size=8, max_size=30))
@settings(max_examples=150)
def test_no_path_leads_where_the_document_forbids(first: dict[str, Json], acts: list[Act]) -> None:
    history = History(first)

    for act in acts:
        act(history)

    for name, items in history.recorded.items():
        for item in items:
            if isinstance(item.fact, Moved):
                event(kind_of(item.fact))
                assert faults_of(item.fact, item, history) == []
        facts = [item.fact for item in items]
        assert_a_chain([fact for fact in facts if isinstance(fact, Moved)], history.leads[name])
        assert_refusals_and_stalls_are_sound(facts)


def kind_of(move: Moved) -> str:
    return f"moved by {move.by}{', override' if move.override else ''}{', merged' if move.merged else ''}"


def assert_a_chain(moves: Sequence[Moved], lead: Lead) -> None:
    """Each move begins where the one before ended, no earlier, and the lead stands at the end of the last."""
    for before, after in pairwise(moves):
        assert after.from_stage == before.to.id
        assert after.at >= before.at
        assert after.entered_at is not None
    if moves and lead.absorbed_by is None:
        assert lead.stay is not None
        assert lead.stay.stage == moves[-1].to.id


def assert_refusals_and_stalls_are_sound(facts: Sequence[Fact]) -> None:
    """A refusal says why and moves nobody; nobody stalls twice in one stay."""
    stalled: set[datetime] = set()
    for fact in facts:
        if isinstance(fact, MoveRefused):
            assert fact.code
            assert fact.message
        if isinstance(fact, Stalled):
            assert fact.since not in stalled
            stalled.add(fact.since)
        if isinstance(fact, Moved) and fact.merged is None:
            stalled.clear()


def faults_of(move: Moved, item: Recorded, history: History) -> list[str]:
    """What the document of that day, read as plain data, has against a recorded move."""
    document: dict[str, Any] = item.document
    stages: dict[str, dict[str, Any]] = {stage["id"]: stage for stage in document["stages"]}
    order = list(stages)
    if move.to.id not in stages:
        return ["the stage is not in the document"]
    target = stages[move.to.id]
    if move.merged is not None:
        came = [other.fact.to.id for other in history.recorded[move.merged] if isinstance(other.fact, Moved)]
        return [] if came and came[-1] == move.to.id else ["the absorbed lead did not stand there"]
    if move.from_stage is None:
        return [] if target.get("initial") else ["a lead begins elsewhere than in the initial stage"]
    if move.override:
        explained = move.by != "rule" and move.actor and move.why == "because"
        return [] if explained else ["an override without actor or reason"]
    return [
        *requirement_faults(move, target, item.known),
        *way_faults(move, document, order, stages),
    ]


def requirement_faults(move: Moved, target: Mapping[str, Any], known: Mapping[str, Json]) -> list[str]:
    match target.get("requires"):
        case ["reason"]:
            is_met = move.by == "rule" or move.why == "because"
        case ["attributes.amount"]:
            is_met = "amount" in known
        case _:
            is_met = True
    return [] if is_met else [f"it requires {target['requires']}"]


def way_faults(
    move: Moved, document: Mapping[str, Any], order: Sequence[str], stages: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    rule, policy = stages[move.to.id].get("enter_when"), document["moves"]
    if move.by == "rule" and not isinstance(rule, dict):
        return ["a rule moved it that the document does not have"]
    if move.from_stage is None or move.from_stage not in order:
        return ["a rule moved a lead whose stage the document lacks"] if move.by == "rule" else []
    named = isinstance(rule, dict) and move.from_stage in (rule.get("stage_in") or [])
    start, end = order.index(move.from_stage), order.index(move.to.id)
    faults = []
    if move.by == "rule" and isinstance(rule, dict) and "stage_in" in rule and not named:
        faults.append("the rule names other stages")
    if stages[move.from_stage].get("terminal") and policy["from_terminal"] == "refused":
        faults.append("nothing leaves an ending")
    if end < start and not named and (policy["back"] == "refused" or move.by == "rule"):
        faults.append("back")
    skipped = [name for name in order[start + 1 : end] if not stages[name].get("terminal")]
    if skipped and not named and policy["skip"] == "refused" and stages[move.to.id].get("terminal") != "lost":
        faults.append(f"skips {skipped}")
    return faults
