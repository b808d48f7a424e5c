"""The same model with another half-life."""

from typing import cast

from services.scorer.domain.models.document import parse_model
from services.scorer.domain.models.model import EventScore, Model
from services.scorer.domain.what_if.backtest.variants import with_half_life
from shared.events.json import Json
from tests.support.builders import a_rule

DOCUMENT: Json = {
    "model": "test",
    "scores": {
        "engagement": {"half_life": "14d", "rules": [a_rule(), a_rule("form_submitted", half_life="30d")]},
        "fit": {"rules": [{"id": "home", "if": {"attributes.country": "SE"}, "points": 3}]},
        "total": {"combine": {"engagement": 1, "fit": 1}},
    },
}
DAY_US = 86_400_000_000


def half_lives(model: Model) -> dict[str, int | None]:
    return {rule.id: rule.half_life_us for rule in cast("EventScore", model.scores["engagement"]).rules.values()}


def test_rules_with_a_half_life_of_their_own_keep_it() -> None:
    model = parse_model(with_half_life(DOCUMENT, "1d"))

    assert half_lives(model) == {"page_viewed": DAY_US, "form_submitted": 30 * DAY_US}


def test_none_lets_nothing_decay() -> None:
    assert half_lives(parse_model(with_half_life(DOCUMENT, "none")))["page_viewed"] is None


def test_what_is_no_model_stays_none() -> None:
    broken: list[Json] = [None, [], {"scores": 3}, {"scores": {"engagement": 3}}, {"scores": {"a": {"rules": {}}}}]

    assert [with_half_life(document, "1d") for document in broken] == broken
