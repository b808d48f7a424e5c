"""`leadflow score`: what it prints, and what it says of input that it cannot take."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import from_json
from typer.testing import CliRunner, Result

from services.command.main import app

CASES = Path(__file__).parents[1] / "scorer" / "cases.json"
MODEL = "model: m\nscores: {engagement: {rules: [{id: r, on: page_viewed, points: 8, half_life: 1d}]}}\n"
EVENT = {"id": "1", "source": "web", "type": "page_viewed", "occurred_at": "2026-03-02T10:00:00Z", "properties": {}}
NOW = "2026-03-03T10:00:00Z"


def scored(directory: Path, events: bytes, *times: str, model: str = MODEL) -> Result:
    (directory / "model.yaml").write_text(model)
    (directory / "events").write_bytes(events)
    options = [part for time in times for part in ("--at", time)]
    return CliRunner().invoke(app, ["score", str(directory / "model.yaml"), str(directory / "events"), *options])


@pytest.mark.parametrize("case", from_json(CASES.read_bytes())["cases"], ids=lambda case: case["name"])
def test_a_line_per_time_says_what_the_worked_case_expects(tmp_path: Path, case: dict[str, Any]) -> None:
    times = [expected["at"] for expected in case["expect"]]

    result = scored(tmp_path, json.dumps(case["events"]).encode(), *times, model=json.dumps(case["model"]))

    assert [from_json(line) for line in result.stdout.splitlines()] == case["expect"]


def test_events_may_come_a_line_each_and_on_standard_input(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text(MODEL)
    lines = "\n".join(json.dumps({**EVENT, "id": number}) for number in ("1", "2", "1")) + "\n\n"

    result = CliRunner().invoke(app, ["score", str(tmp_path / "model.yaml"), "-", "--at", NOW], input=lines)

    assert result.stdout == '{"at":"2026-03-03T10:00:00Z","scores":{"engagement":8.0},"bands":{},"grade":null}\n'


def test_no_events_are_a_lead_to_whom_nothing_happened(tmp_path: Path) -> None:
    result = scored(tmp_path, b"", NOW)

    assert from_json(result.stdout)["scores"] == {"engagement": 0.0}


@pytest.mark.parametrize(
    ("events", "said"),
    [
        (b"[1]", "[0]: must be an object"),
        (json.dumps([EVENT, {**EVENT, "id": 7}]).encode(), "[1].id: must be text"),
        (json.dumps({**EVENT, "occurred_at": "2026-03-02T10:00:00"}).encode(), "[0].occurred_at: must be a time"),
        (json.dumps({**EVENT, "properties": []}).encode(), "[0].properties: must be an object"),
        (b'{"id": NaN}', "line 1: not JSON"),
        (b"[" * 10_000, "not JSON"),
    ],
)
def test_wrong_events_are_named_and_exit_with_an_error(tmp_path: Path, events: bytes, said: str) -> None:
    result = scored(tmp_path, events, NOW)

    assert result.exit_code == 1
    assert said in result.stderr


def test_a_wrong_model_is_told_with_every_fault(tmp_path: Path) -> None:
    result = scored(tmp_path, b"", NOW, model="model: m\nscores: {a: {rules: []}, b: {combine: {c: 1}}}")

    assert result.exit_code == 1
    assert result.stderr.count("leadflow: scores.") == 2


def test_a_time_without_zone_is_refused(tmp_path: Path) -> None:
    result = scored(tmp_path, b"", "2026-03-03T10:00:00")

    assert result.exit_code == 1
    assert "--at: must be a time with its zone" in result.stderr


def test_events_that_are_not_there_are_told(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text(MODEL)

    result = CliRunner().invoke(app, ["score", str(tmp_path / "model.yaml"), str(tmp_path / "none"), "--at", NOW])

    assert result.exit_code == 1
    assert "No such file" in result.stderr
