"""Whoever reads the messages of the last release can read today's; what would break them is found and named."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
STALLED, SCORED, MOVED = "lead.stalled.v1", "lead.score_changed.v1", "lead.stage_changed.v1"


def _loaded() -> ModuleType:
    spec = spec_from_file_location("compatibility", ROOT / "docs" / "compatibility.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


compatibility = _loaded()
RELEASED: dict[str, Any] = compatibility.current(ROOT)


def check(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "docs" / "compatibility.py"), "check", "--root", str(root)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def changed(change: Callable[[dict[str, Any]], object]) -> list[str]:
    """What breaks when the messages are changed so."""
    new = deepcopy(RELEASED)
    change(new)
    return list(compatibility.breakages(RELEASED, new))


def part(schemas: dict[str, Any], message: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = schemas[message]["$defs"][name]
    return found


def test_todays_messages_are_compatible_with_the_released_ones() -> None:
    answer = check(ROOT)

    assert answer.returncode == 0, answer.stdout


def test_the_same_messages_break_nothing() -> None:
    assert changed(lambda _: None) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda new: new.pop(STALLED), f"{STALLED}: the message is gone"),
        (
            lambda new: part(new, STALLED, "Stall")["properties"].pop("since"),
            f"{STALLED}.data.since: the field is gone",
        ),
        (
            lambda new: part(new, STALLED, "Stall")["required"].remove("due_at"),
            f"{STALLED}.data.due_at: may be left out now",
        ),
        (
            lambda new: part(new, STALLED, "Stall")["properties"]["stage"].update(type="integer"),
            f"{STALLED}.data.stage: can be string no more",
        ),
        (
            lambda new: part(new, STALLED, "Stall")["properties"]["stage"].update(maxLength=10),
            f"{STALLED}.data.stage: maxLength is 10, was none",
        ),
        (
            lambda new: part(new, STALLED, "Stall")["properties"]["since"].pop("format"),
            f"{STALLED}.data.since: format is None, was date-time",
        ),
        (
            lambda new: part(new, STALLED, "Stall")["properties"].update(
                stage={"anyOf": [{"type": "string"}, {"type": "null"}]}
            ),
            f"{STALLED}.data.stage: can now be null, which nobody expects",
        ),
        (
            lambda new: part(new, MOVED, "StageChange")["properties"]["from_stage"]["anyOf"].pop(),
            f"{MOVED}.data.from_stage: can be null no more",
        ),
        (
            lambda new: part(new, MOVED, "StageChange")["properties"]["by"]["enum"].remove("crm"),
            f"{MOVED}.data.by: is never crm any more",
        ),
        (
            lambda new: part(new, STALLED, "Stall")["properties"]["stage"].update(enum=["new"]),
            f"{STALLED}.data.stage: could be anything, is one of new",
        ),
        (
            lambda new: new[STALLED]["properties"]["type"].update(const="lead.late"),
            f"{STALLED}.type: is never lead.stalled any more",
        ),
        (
            lambda new: part(new, SCORED, "LedgerEntry")["properties"].pop("points"),
            f"{SCORED}.data.ledger{{}}[].points: the field is gone",
        ),
        (
            lambda new: part(new, SCORED, "Standing")["properties"]["scores"]["additionalProperties"].update(
                type="string"
            ),
            f"{SCORED}.data.current.scores{{}}: can be number no more",
        ),
    ],
    ids=[
        "a message that is gone",
        "a field that is gone",
        "a field that may be left out",
        "another type",
        "a shorter text",
        "a form that is none",
        "null where none was",
        "no null where one was",
        "a value of an enum that is gone",
        "text that is one of a few now",
        "another name",
        "a field deep within",
        "other values of a map",
    ],
)
def test_a_planted_breakage_is_named(change: Callable[[dict[str, Any]], object], said: str) -> None:
    assert said in changed(change)


@pytest.mark.parametrize(
    "change",
    [
        lambda new: new.update({"lead.promoted.v1": {"type": "object"}}),
        lambda new: part(new, STALLED, "Stall")["properties"].update(learnt={"type": "string"}),
        lambda new: (
            part(new, STALLED, "Stall")["properties"].update(learnt={"type": "string"}),
            part(new, STALLED, "Stall")["required"].append("learnt"),
        ),
        lambda new: part(new, MOVED, "StageChange")["properties"]["by"]["enum"].append("timer"),
        lambda new: part(new, STALLED, "Stall")["properties"]["stage"].update(description="in other words"),
        lambda new: part(new, STALLED, "Stall")["properties"]["sequence"].update(minimum=0),
    ],
    ids=["a message", "a field", "a field that always comes", "a value of an enum", "a description", "a wider bound"],
)
def test_an_addition_passes(change: Callable[[dict[str, Any]], object]) -> None:
    assert changed(change) == []


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "shared" / "events", tmp_path / "shared" / "events")
    return tmp_path


def test_what_the_last_release_sent_must_still_be_read(copy: Path) -> None:
    example = copy / "shared/events/released/examples/lead.stalled.v1.json"
    older = example.read_text(encoding="utf-8").replace('"since"', '"begun"')
    example.write_text(older, encoding="utf-8")

    answer = check(copy)

    assert answer.returncode == 1
    assert "lead.stalled.v1: what the last release sent is not read any more" in answer.stdout
    assert "docs/adr/0022" in answer.stderr


def test_a_message_keeps_its_topic(copy: Path) -> None:
    topics = copy / "shared/events/released/topics.json"
    topics.write_text(topics.read_text(encoding="utf-8").replace("lead-stages", "lead-news"), encoding="utf-8")

    answer = check(copy)

    assert answer.returncode == 1
    assert "lead.stalled: was on lead-news, is on lead-stages" in answer.stdout


def test_a_release_takes_the_messages_as_they_are(copy: Path) -> None:
    schema = copy / "shared/events/schema/lead.stalled.v1.json"
    schema.write_text(schema.read_text(encoding="utf-8").replace('"stage"', '"place"'), encoding="utf-8")
    before = check(copy)

    compatibility.release(copy)

    assert "lead.stalled.v1.data.stage: the field is gone" in before.stdout
    assert check(copy).returncode == 0
