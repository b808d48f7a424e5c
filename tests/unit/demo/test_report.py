"""The sums must agree, and the tables must say what a person wants to know."""

from collections import Counter
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from services.demo.installation import Installation
from services.demo.play import Tally
from services.demo.report import Results, show, sums
from services.demo.subscriber import Subscriber
from services.demo.watch import Reading
from shared.events.json import Json
from tests.unit.demo.stories import UNTIL

NOTHING = Reading({})


def a_reading(*, scored: int = 3, duplicate: int = 2, delivered: int = 1, moves: int = 1) -> Reading:
    return Reading(
        {
            ("leadflow_ingest_events_total", (("outcome", "accepted"), ("source", "api"))): 4.0,
            ("leadflow_ingest_events_total", (("outcome", "ignored"), ("source", "sendgrid"))): 1.0,
            ("leadflow_scoring_events_total", (("outcome", "scored"),)): float(scored),
            ("leadflow_scoring_events_total", (("outcome", "duplicate"),)): float(duplicate),
            ("leadflow_scoring_score_changes_total", (("cause", "events"),)): 6.0,
            ("leadflow_pipeline_stage_changes_total", (("from", "new"), ("to", "mql"))): float(moves),
            ("leadflow_webhook_deliveries_total", (("outcome", "delivered"), ("status_class", "2xx"))): float(
                delivered
            ),
        }
    )


def a_lead(lead_id: str, value: float, stage: str = "mql") -> dict[str, Json]:
    reasons: list[Json] = ["Meeting held", "Decision maker [sic]"]
    return {"id": lead_id, "value": value, "grade": "A1", "stage": {"stage": stage}, "reasons": reasons}


def some_results() -> Results:
    subscriber = Subscriber()
    subscriber.verified["lead.stage_changed"] = 1
    return Results(
        first_run=True,
        tally=Tally(requests=5, sent=7, accepted=4, ignored=1, refused=Counter({"not verified": 2})),
        before=NOTHING,
        after=a_reading(),
        subscriber=subscriber,
        leads=[a_lead("0a", 91.25), a_lead("0b", 12.0, "new")],
        attributes={"0a": {"name": "Ann Berg", "job_title": "VP Supply", "company": "Berg Depot"}, "0b": {}},
        posting_seconds=2.0,
        settling_seconds=1.0,
    )


def shown(results: Results) -> str:
    output = StringIO()
    installation = Installation(seed=1, until=UNTIL, api_key="lf_test_key", secrets={})
    console = Console(file=output, width=100, highlight=False)
    show(
        console, results, base_url="http://127.0.0.1:8080", data_dir=Path(".leadflow/demo"), installation=installation
    )
    return output.getvalue()


def test_sums_that_agree_agree() -> None:
    assert [one.agrees for one in sums(some_results())] == [True, True, True, True, True]
    assert some_results().agrees


@pytest.mark.parametrize(
    "after",
    [a_reading(scored=2), a_reading(duplicate=3), a_reading(delivered=2), a_reading(moves=2)],
    ids=["an event was lost", "an event counted twice", "a webhook never came", "a move was never told"],
)
def test_a_sum_that_does_not_agree_spoils_the_demo(after: Reading) -> None:
    results = replace(some_results(), after=after)

    assert not results.agrees
    assert "✗" in shown(results)


def test_attempts_of_unknown_outcome_may_count_twice_and_no_more() -> None:
    results = replace(some_results(), after=a_reading(duplicate=4))

    results.tally.uncertain = 2
    assert results.agrees
    results.tally.uncertain = 1
    assert not results.agrees


def test_anything_forged_that_was_let_in_spoils_the_demo() -> None:
    results = some_results()
    results.tally.let_in = 1

    assert not results.agrees


def test_a_bad_webhook_spoils_the_demo() -> None:
    results = some_results()
    results.subscriber.failed = 1

    assert not results.agrees


def test_it_names_the_hottest_with_score_grade_stage_and_reasons() -> None:
    text = shown(some_results())

    for expected in (
        "Ann Berg",
        "VP Supply, Berg Depot",
        "91.2",
        "A1",
        "mql",
        "Meeting held",
        "Decision maker [sic]",
    ):
        assert expected in text
    assert "visitor 0b" in text


def test_it_fits_a_hundred_columns_but_for_lines_to_copy() -> None:
    before, _, where_to_look = shown(some_results()).partition("Where to look next")

    assert max(len(line) for line in before.splitlines()) <= 100
    assert "export KEY=lf_test_key\n" in where_to_look
    assert "http://127.0.0.1:8080/v1/leads/0a/timeline\n" in where_to_look
    assert "LEADFLOW_DATA_DIR=.leadflow/demo .venv/bin/leadflow explain 0a\n" in where_to_look


def test_without_a_terminal_it_has_no_colours() -> None:
    assert "\x1b" not in shown(some_results())


def test_a_further_run_says_that_nothing_counted_twice() -> None:
    text = shown(replace(some_results(), first_run=False, after=a_reading(scored=0, duplicate=5)))

    assert "5 were known already and 0 counted" in " ".join(text.split())
