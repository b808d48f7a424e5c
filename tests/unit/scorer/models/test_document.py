"""The model document: what is accepted, what each default is, and every fault with its path."""

from typing import Any

import pytest

from services.scorer.domain.models.document import parse_model
from services.scorer.domain.models.model import Bounds, EventScore, GradeThreshold, ScoreThreshold
from services.scorer.domain.states.limits import Limit
from shared.documents.durations import DAY_US
from shared.documents.yaml_text import read_yaml
from shared.errors import InvalidDocument
from shared.events.json import Json

DOCUMENT = """
model: b2b
description: Points for the usual signals
scores:
  total: {combine: {engagement: 0.6, fit: 0.4}, max: 100}
  engagement:
    max: 100
    half_life: 14d
    groups:
      email: {max: 30}
    rules:
      - {id: click, on: [email_clicked, link_clicked], points: 5, group: email, limit: {count: 3, per: day}}
      - id: webinar
        description: Came to a webinar
        on: webinar_attended
        if: {properties.minutes: {gte: 10}}
        points: 20
        half_life: none
        expires_after: 90d
        limit: {count: 1, per: ever, by: properties.webinar_id}
  fit:
    min: none
    rules:
      - {id: leader, if: {attributes.title: {matches: "(?i)chief"}}, points: 40}
bands:
  engagement: {1: 60, 2: 30, 3: 0}
  fit: {A: 70, B: 0}
grade: [fit, engagement]
thresholds:
  hot: {score: total, enter: 60, exit: 45, cooldown: 7d}
  warm: {score: total, enter: 30}
  mql: {grade: [A1, A2]}
"""


def a_document(**changes: Json) -> dict[str, Any]:
    document = read_yaml(DOCUMENT)
    assert isinstance(document, dict)
    return {**document, **changes}


def event_score(**changes: Json) -> dict[str, Json]:
    return {"rules": [{"id": "r", "on": "x", "points": 1, **changes}]}


def paths_of_faults(document: Json) -> list[str]:
    with pytest.raises(InvalidDocument) as refused:
        parse_model(document)
    return [fault.path for fault in refused.value.faults]


def test_rules_take_the_half_life_of_their_score_unless_they_have_one() -> None:
    score = parse_model(a_document()).scores["engagement"]

    assert isinstance(score, EventScore)
    assert score.rules["click"].half_life_us == 14 * DAY_US
    assert score.rules["webinar"].half_life_us is None


def test_a_rule_is_read_in_full() -> None:
    score = parse_model(a_document()).scores["engagement"]

    assert isinstance(score, EventScore)
    assert score.rules["click"].event_types == ("email_clicked", "link_clicked")
    assert score.rules["webinar"].expires_after_days == 90
    assert score.rules["webinar"].limit == Limit(1, "ever", ("properties", "webinar_id"))
    assert score.rules["webinar"].description == "Came to a webinar"


def test_a_score_has_the_floor_zero_and_a_group_has_none() -> None:
    scores = parse_model(a_document()).scores

    assert scores["engagement"].bounds == Bounds(0.0, 100.0)
    assert scores["fit"].bounds == Bounds(None, None)
    assert isinstance(scores["engagement"], EventScore)
    assert scores["engagement"].groups == {"email": Bounds(None, 30.0)}


def test_a_combined_score_comes_after_its_parts() -> None:
    assert list(parse_model(a_document()).scores) == ["engagement", "fit", "total"]


def test_bands_are_ordered_from_the_top_and_named_as_written() -> None:
    bands = parse_model(a_document()).bands["engagement"]

    assert [(band.name, band.at_least) for band in bands] == [("1", 60), ("2", 30), ("3", 0)]


def test_a_threshold_is_left_where_it_is_entered_unless_it_says_otherwise() -> None:
    thresholds = parse_model(a_document()).thresholds

    assert thresholds["hot"] == ScoreThreshold("hot", "total", 60, 45, 7 * DAY_US)
    assert thresholds["warm"] == ScoreThreshold("warm", "total", 30, 30, None)
    assert thresholds["mql"] == GradeThreshold("mql", frozenset({"A1", "A2"}), None)


def test_rules_are_found_by_event_type() -> None:
    index = parse_model(a_document()).rules_by_type

    assert [rule.id for _, rule in index["link_clicked"]] == ["click"]
    assert "page_viewed" not in index


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"model": ""}, "model"),
        ({"version": 2}, "version"),
        ({"description": 1}, "description"),
        ({"grade": ["fit", "total"]}, "grade"),
        ({"grade": ["fit", "fit"]}, "grade"),
        ({"bands": {"fit": {"A": 70, "B": 0}, "engagement": {"1": 60, "2": 60}}}, "bands.engagement"),
        ({"thresholds": {"hot": {"score": "none", "enter": 1}}}, "thresholds.hot.score"),
        ({"thresholds": {"hot": {"score": "fit", "enter": 1, "exit": 2}}}, "thresholds.hot.exit"),
        ({"thresholds": {"hot": {"score": "fit"}}}, "thresholds.hot.enter"),
        ({"thresholds": {"hot": {"score": "fit", "enter": 1, "cooldown": "soon"}}}, "thresholds.hot.cooldown"),
        ({"thresholds": {"mql": {"grade": ["Z9"]}}}, "thresholds.mql.grade"),
        ({"thresholds": {"bad name": {"score": "fit", "enter": 1}}}, "thresholds.bad name"),
    ],
    ids=str,
)
def test_a_fault_of_the_document_names_its_path(changes: dict[str, Json], path: str) -> None:
    assert paths_of_faults(a_document(**changes)) == [path]


@pytest.mark.parametrize(
    ("score", "path"),
    [
        ({}, "rules"),
        ({"rules": []}, "rules"),
        ({"rules": {}}, "rules"),
        ([], ""),
        ({**event_score(), "max": "high"}, "max"),
        ({**event_score(), "min": 2, "max": 1}, "min"),
        ({**event_score(), "half_life": "2 weeks"}, "half_life"),
        ({**event_score(), "groups": {"g": {"max": 1, "cap": 2}}}, "groups.g.cap"),
        (event_score(on=[]), "rules[0].on"),
        (event_score(on=["a", "a"]), "rules[0].on"),
        (event_score(points=None), "rules[0].points"),
        (event_score(points=True), "rules[0].points"),
        (event_score(points=1e300), "rules[0].points"),
        (event_score(id="a b"), "rules[0].id"),
        (event_score(group="g"), "rules[0].group"),
        (event_score(half_life="1y"), "rules[0].half_life"),
        (event_score(expires_after="24h"), "rules[0].expires_after"),
        (event_score(limit={"count": 0, "per": "day"}), "rules[0].limit.count"),
        (event_score(limit={"count": 1, "per": "year"}), "rules[0].limit.per"),
        (event_score(limit={"count": 1, "per": "day", "by": "attributes.x"}), "rules[0].limit.by"),
        ({"rules": [{"id": "r", "on": "x", "points": 1, "if": {"attributes.x": 1}}]}, "rules[0].if.attributes.x"),
        (event_score(point=1), "rules[0].point"),
        ({"rules": [{"id": "r", "if": {"properties.x": 1}, "points": 1}]}, "rules[0].if.properties.x"),
        ({"rules": [{"id": "r", "points": 1}]}, "rules[0].if"),
        ({"rules": [{"id": "r", "on": "x", "points": 1}] * 2}, "rules[1].id"),
        ({"combine": {}}, "combine"),
        ({"combine": {"nowhere": 1}}, "combine.nowhere"),
        ({"combine": {"s": 1}}, "combine"),
        ({"combine": {"t": "half"}}, "combine.t"),
    ],
    ids=str,
)
def test_a_fault_of_a_score_names_its_path(score: Json, path: str) -> None:
    document: Json = {"model": "m", "scores": {"t": event_score(), "s": score}}

    assert paths_of_faults(document) == [f"scores.s.{path}".removesuffix(".")]


def test_a_score_may_not_mix_events_and_attributes() -> None:
    rules: Json = [{"id": "a", "on": "x", "points": 1}, {"id": "b", "if": {"attributes.x": 1}, "points": 1}]

    paths = paths_of_faults({"model": "m", "scores": {"s": {"rules": rules}}})

    assert paths == ["scores.s.rules[1].on", "scores.s.rules[1].if.attributes.x"]


def test_scores_may_not_combine_each_other() -> None:
    scores: Json = {"a": {"combine": {"b": 1}}, "b": {"combine": {"a": 1}}}

    assert paths_of_faults({"model": "m", "scores": scores}) == ["scores.a.combine", "scores.b.combine"]


@pytest.mark.parametrize("document", [None, [], "model", 1], ids=repr)
def test_what_is_no_mapping_is_no_model(document: Json) -> None:
    assert "" in paths_of_faults(document)


def test_every_fault_is_told_at_once() -> None:
    document = a_document(model=1, grade=["x"], thresholds={"hot": {"score": "x"}})

    assert paths_of_faults(document) == ["model", "grade", "thresholds.hot.score", "thresholds.hot.enter"]
