"""What a pipeline document must be."""

from datetime import date, time, timedelta

import pytest

from services.pipeline.domain.document import parse_pipeline
from services.pipeline.domain.due import Due
from services.pipeline.domain.stages import MovePolicy
from services.pipeline.domain.triggers import AllOf, AnyOf, EventSeen, Inside, StandsIn, VerdictIs
from shared.errors import InvalidDocument
from shared.events.json import Json
from tests.support.pipeline import B2B, a_document, a_pipeline


def faults_of(document: Json) -> dict[str, str]:
    with pytest.raises(InvalidDocument) as refused:
        parse_pipeline(document)
    return {fault.path: fault.message for fault in refused.value.faults}


def with_stage(**stage: Json) -> dict[str, Json]:
    """A document of an initial stage and the one given."""
    return a_document(stages=[{"id": "new", "initial": True}, {"id": "next", **stage}])


def with_hours(**hours: Json) -> dict[str, Json]:
    base = B2B["business_hours"]
    assert isinstance(base, dict)
    return a_document(business_hours={key: value for key, value in {**base, **hours}.items() if value is not None})


def test_the_contracts_document_is_read_as_it_means() -> None:
    pipeline = a_pipeline()

    stages = {stage.id: stage for stage in pipeline.stages.order}
    assert pipeline.name == "b2b-sales"
    assert pipeline.stages.initial.id == "new"
    assert stages["mql"].enter_when == AnyOf((Inside(("mql",)), EventSeen(("demo_requested",))))
    assert stages["sql"].enter_when == AllOf((VerdictIs("qualified"), StandsIn(("mql",))))
    assert stages["proposal"].requires == ("attributes.amount", "attributes.close_date")
    assert (stages["mql"].due, stages["won"].terminal, stages["proposal"].probability) == (Due(4, "h"), "won", 0.5)
    assert pipeline.policy.at_least == 3
    assert [criterion.name for criterion in pipeline.policy.criteria] == ["budget", "authority", "need", "timeline"]
    assert pipeline.policy.criteria[3].expires_after == timedelta(days=90)
    assert pipeline.hours is not None
    assert (pipeline.hours.zone.key, pipeline.hours.opens, pipeline.hours.closes) == (
        "Europe/Stockholm",
        time(9),
        time(17),
    )


def test_what_is_left_out_has_its_default() -> None:
    pipeline = parse_pipeline({"pipeline": "x", "stages": [{"id": "new", "initial": True}]})

    assert pipeline.stages.moves == MovePolicy(back=True, skip=True, from_terminal=False)
    assert pipeline.hours is None
    assert pipeline.policy.at_least is None


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ([], ""),
        ({}, "pipeline"),
        (a_document(pipeline="no name!"), "pipeline"),
        (a_document(surprise=1), "surprise"),
        (a_document(stages=[]), "stages"),
        (a_document(stages=[{"id": "a"}]), "stages"),
        (a_document(stages=[{"id": "a", "initial": True}, {"id": "b", "initial": True}]), "stages"),
        (a_document(stages=[{"id": "a", "initial": True}, {"id": "a"}]), "stages[1].id"),
        (a_document(stages=[{"id": "a", "initial": True, "terminal": "won"}]), "stages[0]"),
        (a_document(stages=[{"id": "a", "initial": True, "requires": ["reason"]}]), "stages[0].requires"),
        (with_stage(id="bad id"), "stages[1].id"),
        (with_stage(initial="yes"), "stages[1].initial"),
        (with_stage(terminal="maybe"), "stages[1].terminal"),
        (with_stage(terminal="won", due="1d"), "stages[1].due"),
        (with_stage(due="soon"), "stages[1].due"),
        (with_stage(due="2000d"), "stages[1].due"),
        (with_stage(probability=1.5), "stages[1].probability"),
        (with_stage(probability=True), "stages[1].probability"),
        (with_stage(requires="reason"), "stages[1].requires"),
        (with_stage(requires=["properties.x"]), "stages[1].requires"),
        (with_stage(surprise=1), "stages[1].surprise"),
        (with_stage(enter_when={}), "stages[1].enter_when"),
        (with_stage(enter_when={"surprise": 1}), "stages[1].enter_when.surprise"),
        (with_stage(enter_when={"threshold": 5}), "stages[1].enter_when.threshold"),
        (with_stage(enter_when={"stage_in": ["new"]}), "stages[1].enter_when"),
        (with_stage(enter_when={"event": "x", "stage_in": ["nowhere"]}), "stages[1].enter_when.stage_in"),
        (with_stage(enter_when={"qualified": False}), "stages[1].enter_when.qualified"),
        (with_stage(enter_when={"any": []}), "stages[1].enter_when.any"),
        (with_stage(enter_when={"any": [{"event": "x"}, {"stage_in": "new"}]}), "stages[1].enter_when"),
        (a_document(moves={"back": "never"}), "moves.back"),
        (a_document(moves={"sideways": "allowed"}), "moves.sideways"),
        (
            a_document(qualification={"criteria": {}, "qualified": {"at_least": 1}}),
            "qualification.qualified.at_least",
        ),
        (
            a_document(qualification={"criteria": {"a": {"if": {"properties.x": 1}}}}),
            "qualification.criteria.a.if.properties.x",
        ),
        (
            a_document(qualification={"criteria": {"a": {"if": {"attributes.x": {"matches": "("}}}}}),
            "qualification.criteria.a.if.attributes.x.matches",
        ),
        (
            a_document(qualification={"criteria": {"a": {"if": {"attributes.x": 1}, "expires_after": "1y"}}}),
            "qualification.criteria.a.expires_after",
        ),
        (
            a_document(qualification={"disqualified": [{"if": {"attributes.x": 1}}]}),
            "qualification.disqualified[0].reason",
        ),
        (with_hours(timezone="Mars/Olympus"), "business_hours.timezone"),
        (with_hours(timezone="../../etc/passwd"), "business_hours.timezone"),
        (with_hours(timezone=None), "business_hours.timezone"),
        (with_hours(days="fri-mon"), "business_hours.days"),
        (with_hours(days=[]), "business_hours.days"),
        (with_hours(**{"from": 540}), "business_hours.from"),
        (with_hours(**{"from": "25:00"}), "business_hours.from"),
        (with_hours(to="09:00"), "business_hours.to"),
        (with_hours(holidays=["christmas"]), "business_hours.holidays"),
        (with_hours(lunch="12:00"), "business_hours.lunch"),
    ],
)
def test_a_fault_is_named_with_its_path(document: Json, path: str) -> None:
    assert path in faults_of(document)


def test_every_fault_is_named_at_once() -> None:
    document = a_document(
        surprise=1, moves={"back": "x"}, stages=[{"id": "a", "due": "x"}, {"id": "a", "probability": 7}]
    )

    assert set(faults_of(document)) == {
        "surprise",
        "moves.back",
        "stages",
        "stages[0].due",
        "stages[1].id",
        "stages[1].probability",
    }


def test_a_rule_on_a_verdict_that_can_never_be_is_a_fault() -> None:
    rules: list[Json] = [
        {"id": "new", "initial": True},
        {"id": "a", "enter_when": {"qualified": True}},
        {"id": "b", "enter_when": {"disqualified": True}},
    ]

    faults = faults_of(a_document(qualification=None, stages=rules))

    assert set(faults) == {"stages[1].enter_when.qualified", "stages[2].enter_when.disqualified"}


@pytest.mark.parametrize(
    ("days", "weekdays"),
    [("mon-fri", {0, 1, 2, 3, 4}), ("sat", {5}), ("mon,wed-thu", {0, 2, 3}), (["tue", "sun"], {1, 6})],
)
def test_days_are_ranges_and_lists(days: Json, weekdays: set[int]) -> None:
    hours = parse_pipeline(with_hours(days=days, holidays=["2026-12-25"])).hours

    assert hours is not None
    assert hours.weekdays == weekdays
    assert hours.holidays == {date(2026, 12, 25)}
