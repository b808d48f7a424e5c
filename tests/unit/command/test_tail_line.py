"""Every message that the stream may carry has a line that a person can read."""

from pathlib import Path

import pytest

from services.command.tail.line import line_of
from services.pipeline.subscriptions.fanout import DELIVERED_TYPES
from shared.events.json import Json, parse_json

EXAMPLES = Path(__file__).parents[3] / "shared" / "events" / "examples"
WHO = "dana.weber@nordwind.example"
BANDS = "(engagement 2, fit A, total warm, grade A2)"


def example(name: str) -> dict[str, Json]:
    message = parse_json((EXAMPLES / f"{name}.v1.json").read_bytes())
    assert isinstance(message, dict)
    return message


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "lead.score_changed",
            "scores engagement 47.5 -> 57.5, total 56.5 -> 62.5 {BANDS}, by page_viewed",
        ),
        ("lead.threshold_entered", "threshold entered hot at 62.5, by page_viewed"),
        ("lead.threshold_left", "threshold left hot at 44.99, by time"),
        ("lead.stage_changed", "stage mql -> sql, by rule: qualified, in stage mql"),
        ("lead.stalled", "stalled in stage sql since 2026-11-17 10:02:00"),
        ("lead.qualified", "qualification open -> qualified by BANT"),
        ("lead.disqualified", "qualification open -> disqualified by BANT: competitor"),
        ("lead.qualification_reopened", "qualification qualified -> open by BANT: evidence expired: timeline"),
        ("lead.merged", "has absorbed lead 1f6c9a1e-52a1-4a0c-8f0e-7b1f0b0d5d11"),
    ],
)
def test_a_message_says_what_has_changed_and_why(name: str, words: str) -> None:
    when, _, rest = line_of(example(name)).partition("  ")

    assert when == str(example(name)["time"])[:19].replace("T", " ")
    assert " ".join(rest.split()) == f"{WHO} {words.format(BANDS=BANDS)}"


def test_two_leads_that_are_two_again_say_who_decided_so() -> None:
    restored = example("lead.unmerged")

    assert line_of(restored).endswith(
        "is no longer part of lead 5b0a3a52-6c1e-4d3f-9f0a-2f6f1f4f7a10, by anna@example.com: "
        "two people of one name at Nordwind"
    )


def test_every_type_that_is_delivered_has_words_of_its_own() -> None:
    assert [kind for kind in DELIVERED_TYPES if line_of({**example(kind), "subject": "s"}).endswith(kind)] == []


def test_the_first_stage_came_from_nowhere() -> None:
    assert line_of(example("lead.stage_changed") | {"data": {"to_stage": "new", "by": "rule"}}).endswith(
        "stage new, by rule"
    )


@pytest.mark.parametrize("message", [{}, {"type": "lead.promoted"}, {"type": "lead.score_changed", "data": 7}])
def test_what_a_later_release_may_send_has_a_line_too(message: dict[str, Json]) -> None:
    assert line_of(message)


def test_nothing_in_a_line_disturbs_a_terminal() -> None:
    line = line_of({"type": "lead.stalled", "subject": "a\x1b[2J\nb", "data": {"stage": "\x07"}})

    assert line.isprintable()
