"""The ready pipelines: each is valid, and asks for what its framework is named after."""

from pathlib import Path

import pytest

from services.pipeline.domain import qualification
from services.pipeline.domain.document import Pipeline, parse_pipeline
from services.scorer.domain.models.document import parse_model
from shared.documents.yaml_text import read_yaml
from tests.support.pipeline import NOON

ROOT = Path(__file__).parents[2]
PIPELINES = ROOT / "deploy" / "examples" / "pipelines"
FRAMEWORKS = {
    "bant": ("budget", "authority", "need", "timeline"),
    "champ": ("challenges", "authority", "money", "prioritization"),
    "meddic": (
        "metrics",
        "economic_buyer",
        "decision_criteria",
        "decision_process",
        "identify_pain",
        "champion",
    ),
    "meddpicc": (
        "metrics",
        "economic_buyer",
        "decision_criteria",
        "decision_process",
        "paper_process",
        "identify_pain",
        "champion",
        "competition",
    ),
}

each_framework = pytest.mark.parametrize("name", FRAMEWORKS)


def pipeline_of(name: str) -> Pipeline:
    return parse_pipeline(read_yaml((PIPELINES / f"{name}.yaml").read_text(encoding="utf-8")))


@pytest.mark.parametrize("file", sorted(PIPELINES.iterdir()), ids=lambda path: path.stem)
def test_every_ready_pipeline_is_valid(file: Path) -> None:
    assert parse_pipeline(read_yaml(file.read_text(encoding="utf-8"))).name


@each_framework
def test_a_framework_asks_for_what_it_is_named_after(name: str) -> None:
    pipeline = pipeline_of(name)

    assert (pipeline.name, pipeline.policy.framework) == (name, name.upper())
    assert tuple(criterion.name for criterion in pipeline.policy.criteria) == FRAMEWORKS[name]
    assert pipeline.policy.at_least is not None
    assert any(criterion.expires_after for criterion in pipeline.policy.criteria)


@each_framework
def test_people_alone_can_qualify_a_lead_by_it(name: str) -> None:
    policy = pipeline_of(name).policy
    words = {
        criterion: qualification.Word(criterion, confirmed=True, source="person", actor="bo", note=None, at=NOON)
        for criterion in FRAMEWORKS[name]
    }

    found = qualification.evidence(policy, {}, words, NOON)

    assert qualification.verdict(policy, {"attributes": {}}, found).state == "qualified"


@each_framework
def test_the_thresholds_and_scores_it_names_are_those_of_the_example_model(name: str) -> None:
    model = parse_model(read_yaml((ROOT / "deploy" / "examples" / "model.yaml").read_text(encoding="utf-8")))
    text = (PIPELINES / f"{name}.yaml").read_text(encoding="utf-8")

    assert {threshold for threshold in ("warm", "mql") if f"threshold: {threshold}" in text} <= set(model.thresholds)
    resets = {score for stage in pipeline_of(name).stages.order for score in stage.resets}
    assert resets == {"engagement"}
    assert resets <= set(model.scores)


@each_framework
def test_it_is_named_on_the_page_for_users(name: str) -> None:
    assert f"{name}.yaml" in (ROOT / "docs" / "pipelines.md").read_text(encoding="utf-8")
