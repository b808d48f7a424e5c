"""The model and the pipeline to copy: valid, made for each other, and alive in the demo's story."""

from services.demo.api import example
from services.demo.webhooks import SOURCES
from services.ingest.kinds.kind import Parked
from services.pipeline.domain.document import parse_pipeline
from services.scorer.domain.models.document import parse_model
from shared.events.json import Json
from tests.unit.demo.stories import the_story
from tests.unit.demo.test_bodies import drafts


def names_under(document: Json, key: str) -> set[str]:
    """Every text that stands under `key` anywhere in the document."""
    if isinstance(document, list):
        return {name for item in document for name in names_under(item, key)}
    if not isinstance(document, dict):
        return set()
    here = {value for name, value in document.items() if name == key and isinstance(value, str)}
    return here | {name for value in document.values() for name in names_under(value, key)}


def test_both_are_valid() -> None:
    assert parse_model(example("model.yaml")).grade == ("fit", "engagement")
    assert parse_pipeline(example("pipeline.yaml")).name == "b2b-saas-sales"


def test_the_pipeline_waits_for_thresholds_that_the_model_has() -> None:
    pipeline = example("pipeline.yaml")
    waited_for = names_under(pipeline, "threshold") | names_under(pipeline, "left_threshold")

    assert waited_for
    assert waited_for <= parse_model(example("model.yaml")).thresholds.keys()


def test_every_event_rule_has_something_to_count_in_the_story() -> None:
    native = {draft.type for channel in SOURCES for _, draft in drafts(channel) if not isinstance(draft, Parked)}
    told = native | {deed.what for deed in the_story() if deed.channel not in SOURCES}

    assert parse_model(example("model.yaml")).rules_by_type.keys() <= told
