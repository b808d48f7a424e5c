"""What changed between two models, in words."""

from typing import Any

import pytest

from services.scorer.domain.models.diff import differences
from services.scorer.domain.models.document import parse_model
from shared.documents.yaml_text import read_yaml
from shared.events.json import Json

OLD = """
model: b2b
scores:
  engagement:
    half_life: 14d
    groups: {email: {max: 30}, web: {max: 50}}
    rules:
      - {id: click, on: email_clicked, points: 5, group: email, limit: {count: 3, per: day}}
      - {id: page, on: [page_viewed, screen_viewed], if: {properties.path: /pricing}, points: 10, group: web}
      - {id: webinar, on: webinar_attended, points: 20, half_life: none, expires_after: 90d}
  interest:
    rules:
      - {id: form, on: form_submitted, points: 3}
  fit:
    rules:
      - {id: large, if: {attributes.employees: {gte: 50}}, points: 30}
  total: {combine: {engagement: 0.6, fit: 0.4}, max: 100}
bands:
  engagement: {1: 60, 2: 0}
  fit: {A: 70, B: 0}
grade: [fit, engagement]
thresholds:
  hot: {score: total, enter: 60, exit: 45, cooldown: 7d}
  mql: {grade: [A1, A2]}
"""


def changed(*edits: tuple[str, str]) -> list[str]:
    """The differences, as text, once each `edit` has replaced its first part by its second in the document."""
    new = OLD
    for old_text, new_text in edits:
        assert old_text in new
        new = new.replace(old_text, new_text, 1)
    return [str(difference) for difference in differences(valid(OLD), valid(new))]


def valid(text: str) -> Json:
    document = read_yaml(text)
    parse_model(document)
    return document


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (("model: b2b", "model: b2c"), "the model, name: b2b -> b2c"),
        (("points: 5", "points: 7.5"), "rule click of engagement, points: 5 -> 7.5"),
        (("group: email,", "group: web,"), "rule click of engagement moved from group email to group web"),
        (("points: 10, group: web", "points: 10"), "rule page of engagement moved from group web to no group"),
        (("count: 3, per: day", "count: 3, per: week"), "rule click of engagement, limit: 3 per day -> 3 per week"),
        ((", limit: {count: 3, per: day}", ""), "rule click of engagement, limit: 3 per day -> none"),
        (
            ("screen_viewed]", "app_opened]"),
            "rule page of engagement, on: page_viewed, screen_viewed -> page_viewed, app_opened",
        ),
        (
            ("{properties.path: /pricing}", "{properties.path: {ne: /p}}"),
            'rule page of engagement, if: {"properties.path": "/pricing"} -> {"properties.path": {"ne": "/p"}}',
        ),
        (("expires_after: 90d", "expires_after: 60d"), "rule webinar of engagement, expires after: 90d -> 60d"),
        (("half_life: none, ", ""), "rule webinar of engagement, half life: none -> 14d (its score's)"),
        (("points: 5,", "points: 5, half_life: 7d,"), "rule click of engagement, half life: 14d (its score's) -> 7d"),
        (("half_life: 14d", "half_life: 7d"), "score engagement, half life: 14d -> 7d"),
        (("{max: 30}", "{max: 40}"), "group email of engagement, max: 30 -> 40"),
        (("engagement: 0.6", "engagement: 0.7"), "weight of engagement in score total, weight: 0.6 -> 0.7"),
        (("max: 100}", "max: none}"), "score total, max: 100 -> none"),
        (("{1: 60, 2: 0}", "{1: 50, 2: 0}"), "band 1 of engagement, from: 60 -> 50"),
        (("{A: 70, B: 0}", "{A: 70, B: 0, C: -5}"), "band C of fit added: from -5"),
        (
            ("grade: [fit, engagement]", "grade: [engagement, fit]"),
            "the grade, of: fit and engagement -> engagement and fit",
        ),
        (("exit: 45", "exit: 40"), "threshold hot, exit: 45 -> 40"),
        (("exit: 45, ", ""), "threshold hot, exit: 45 -> 60"),
        ((", cooldown: 7d", ""), "threshold hot, cooldown: 7d -> none"),
        (("[A1, A2]}", "[A1, A2, B1]}"), "threshold mql, grade: A1, A2 -> A1, A2, B1"),
        (
            ("  mql: {grade: [A1, A2]}\n", "  mql: {grade: [A1, A2]}\n  warm: {score: total, enter: 30}\n"),
            "threshold warm added: score total, enter 30, exit 30, cooldown none",
        ),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_a_change_is_told_in_words(edit: tuple[str, str], told: str) -> None:
    if edit[0].startswith("grade:"):
        assert told in changed(edit, ("{grade: [A1, A2]}", "{grade: [1A, 2A]}"))
    else:
        assert changed(edit) == [told]


@pytest.mark.parametrize(
    "edit",
    [
        ("half_life: 14d", "half_life: 2w"),
        ("[page_viewed, screen_viewed]", "[screen_viewed, page_viewed]"),
        ("{properties.path: /pricing}", "{properties.path: {eq: /pricing}}"),
        ("points: 10", "points: 10.0"),
        ("points: 5,", "points: 5, half_life: 2w,"),
        ("[A1, A2]", "[A2, A1]"),
        ("  total: {combine", "  total: {min: 0, combine"),
        ("{email: {max: 30}, web: {max: 50}}", "{web: {max: 50}, email: {max: 30, min: none}}"),
    ],
    ids=lambda edit: edit[1],
)
def test_spelling_is_no_difference(edit: tuple[str, str]) -> None:
    assert changed(edit) == []


def test_the_order_of_rules_is_no_difference() -> None:
    document: Any = valid(OLD)
    other: Any = valid(OLD)
    other["scores"]["engagement"]["rules"].reverse()

    assert differences(document, other) == ()


def test_a_rule_that_comes_and_one_that_goes_are_told_with_what_they_say() -> None:
    told = changed(("id: click, on: email_clicked, points: 5", "id: open, on: email_opened, points: 1"))

    assert told == [
        "rule open of engagement added: points 1, on email_opened, group email, limit 3 per day",
        "rule click of engagement removed: points 5, on email_clicked, group email, limit 3 per day",
    ]


def test_a_rule_that_another_score_has_now_has_moved() -> None:
    webinar = "      - {id: webinar, on: webinar_attended, points: 20, half_life: none, expires_after: 90d}\n"
    form = "      - {id: form,"

    told = changed((webinar, ""), (form, webinar.replace("20", "25") + form))

    assert told == [
        "rule webinar moved from score engagement to score interest",
        "rule webinar of interest, points: 20 -> 25",
    ]


def test_a_rule_that_moves_to_a_score_of_another_half_life_is_told_so() -> None:
    page = "      - {id: page, on: [page_viewed, screen_viewed], if: {properties.path: /pricing}, points: 10}\n"
    form = "      - {id: form,"

    told = changed((", group: web}", "}"), (page, ""), (form, page + form))

    assert told == [
        "rule page moved from score engagement to score interest",
        "rule page of interest moved from group web to no group",
        "rule page of interest, half life: 14d (its score's) -> none (its score's)",
    ]


def test_true_and_one_are_not_the_same_test() -> None:
    assert len(changed(("{properties.path: /pricing}", "{properties.path: true}"))) == 1
    one, true = (valid(OLD.replace("/pricing}", f"{text}}}")) for text in ("1", "true"))
    assert len(differences(one, true)) == 1
