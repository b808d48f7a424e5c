"""Golden histories: a model is held to what its authors expect of it."""

from pathlib import Path

import pytest

from services.scorer.domain.models.document import parse_model
from services.scorer.domain.what_if.golden import Mismatch, mismatches, parse_golden
from shared.documents.yaml_text import read_yaml
from shared.errors import InvalidDocument
from tests.support.builders import at

EXAMPLES = Path(__file__).resolve().parents[4] / "deploy" / "examples"

MODEL = parse_model(
    read_yaml("""
model: test
scores:
  engagement:
    half_life: 1d
    rules:
      - {id: page, on: page_viewed, points: 10}
      - {id: form, on: form_submitted, points: 5, half_life: none}
  fit:
    rules:
      - {id: boss, if: {attributes.title: boss}, points: 40}
bands:
  engagement: {1: 10, 2: 0}
  fit: {A: 40, B: 0}
grade: [fit, engagement]
thresholds:
  hot: {score: engagement, enter: 10, exit: 6}
""")
)


def outcome(expectation: str) -> list[tuple[str, str, str]]:
    """What differs from `expectation` for a boss who saw a page at the start and sent a form a day later."""
    return [(found.what, found.expected, found.found) for found in found_for(expectation)]


def found_for(expectation: str) -> tuple[Mismatch, ...]:
    (case,) = parse_golden(
        read_yaml(f"""
start: 2026-03-02T10:00:00Z
cases:
  - name: a boss
    events:
      - {{at: 0, type: page_viewed, attributes: {{title: boss}}}}
      - {{at: 1d, type: form_submitted}}
    expect: [{expectation}]
""")
    )
    return mismatches(MODEL, case)


@pytest.mark.parametrize(
    "expectation",
    [
        "{at: 0, scores: {engagement: 10, fit: 40}}",
        "{at: 1d, scores: {engagement: 10}, reasons: {engagement: [page, form]}}",
        "{at: 12h, scores: {engagement: 7.07}}",
        "{at: +2d, scores: {engagement: 7.5}}",
        "{at: 1d12h, scores: {engagement: 8.54}}",
        "{at: '2026-03-03T10:00:00Z', scores: {engagement: 10.0}}",
        "{at: 0, bands: {engagement: 1, fit: A}, grade: A1}",
        "{at: 12h, thresholds: {hot: between}, grade: A2}",
        "{at: 0, reasons: {engagement: [page], fit: [boss]}}",
    ],
)
def test_what_is_as_expected_passes(expectation: str) -> None:
    assert outcome(expectation) == []


@pytest.mark.parametrize(
    ("expectation", "differing"),
    [
        ("{at: 12h, scores: {engagement: 7.08}}", ("score engagement", "7.08", "7.07")),
        ("{at: 0, scores: {interest: 1}}", ("score interest", "1", "none")),
        ("{at: 0, bands: {engagement: 2}}", ("band of engagement", "2", "1")),
        ("{at: 0, bands: {total: hot}}", ("band of total", "hot", "no bands")),
        ("{at: 0, grade: null}", ("grade", "none", "A1")),
        ("{at: 0, thresholds: {hot: below}}", ("threshold hot", "below", "reached")),
        ("{at: 0, thresholds: {warm: below}}", ("threshold warm", "below", "no such threshold")),
        ("{at: 0, reasons: {engagement: [form]}}", ("reasons of engagement", "form", "page")),
        ("{at: 0, reasons: {engagement: []}}", ("reasons of engagement", "none", "page")),
    ],
)
def test_what_is_not_is_told_with_both_sides(expectation: str, differing: tuple[str, str, str]) -> None:
    assert outcome(expectation) == [differing]


def test_a_failing_score_brings_its_ledger() -> None:
    (found,) = found_for("{at: 1d, scores: {engagement: 99}}")

    assert found.at == at("2026-03-03T10:00")
    assert {(entry.name, entry.worth) for entry in found.ledger} == {("page", 5), ("form", 5)}


def test_an_event_that_comes_twice_counts_once() -> None:
    (case,) = parse_golden(
        read_yaml("""
cases:
  - name: twice
    events: [{id: e, at: 0, type: page_viewed}, {id: e, at: 0, type: page_viewed}, {at: 0, type: form_submitted}]
    expect: [{at: 0, scores: {engagement: 15}}]
""")
    )

    assert mismatches(MODEL, case) == ()


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ("[]", ""),
        ("{}", "cases"),
        ("{cases: []}", "cases"),
        ("{start: monday, cases: [{name: a, expect: [{at: 0}]}]}", "start"),
        ("{cases: [{expect: [{at: 0}]}]}", "cases[0].name"),
        ("{cases: [{name: a}]}", "cases[0].expect"),
        ("{cases: [{name: a, expect: [{}]}]}", "cases[0].expect[0].at"),
        ("{cases: [{name: a, expect: [{at: -1d}]}]}", "cases[0].expect[0].at"),
        ("{cases: [{name: a, expect: [{at: 100000000w}]}]}", "cases[0].expect[0].at"),
        (f"{{cases: [{{name: a, expect: [{{at: {'36500d' * 99}}}]}}]}}", "cases[0].expect[0].at"),
        ("{cases: [{name: a, expect: [{at: 0, score: {e: 1}}]}]}", "cases[0].expect[0].score"),
        ("{cases: [{name: a, expect: [{at: 0, scores: {e: high}}]}]}", "cases[0].expect[0].scores.e"),
        ("{cases: [{name: a, expect: [{at: 0, thresholds: {t: inside}}]}]}", "cases[0].expect[0].thresholds.t"),
        ("{cases: [{name: a, expect: [{at: 0, reasons: {e: page}}]}]}", "cases[0].expect[0].reasons.e"),
        ("{cases: [{name: a, events: [{at: 0}], expect: [{at: 0}]}]}", "cases[0].events[0].type"),
        ("{cases: [{name: a, events: [{type: x}], expect: [{at: 0}]}]}", "cases[0].events[0].at"),
        (
            "{cases: [{name: a, events: [{type: x, at: 0, properties: 1}], expect: [{at: 0}]}]}",
            "cases[0].events[0].properties",
        ),
    ],
    ids=lambda text: text[:60],
)
def test_a_fault_of_the_file_names_its_path(document: str, path: str) -> None:
    with pytest.raises(InvalidDocument) as refused:
        parse_golden(read_yaml(document))

    assert [fault.path for fault in refused.value.faults] == [path]


def test_the_example_model_is_what_its_golden_histories_say() -> None:
    model = parse_model(read_yaml((EXAMPLES / "model.yaml").read_text(encoding="utf-8")))
    cases = parse_golden(read_yaml((EXAMPLES / "model.golden.yaml").read_text(encoding="utf-8")))

    assert {case.name: mismatches(model, case) for case in cases if mismatches(model, case)} == {}
