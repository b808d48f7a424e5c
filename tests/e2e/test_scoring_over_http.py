"""The running service computes what the contract says: events over HTTP, shuffled and twice, scores at any moment.

All cases in one running service, each in a workspace of its own with its own model.
"""

import random
import re
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic_core import from_json

from services.command.runtime import database
from shared.access import KeyRepository, Scope
from shared.settings import Settings
from tests.support.leadflow_process import Installation, Running, gather_limited, until_json
from tests.support.waiting import wait_until

REPOSITORY = Path(__file__).parents[2]
OWN = REPOSITORY / "tests" / "unit" / "scorer" / "cases.json"
ELSEWHERE = REPOSITORY.parent / "shared" / "scoring-vectors.json"

# Nothing is received before it happens, so cases are moved into the past; every 28 years, between 1901 and 2099, the
# calendar repeats: days of the week, months and ISO weeks are what they were.
_YEARS_BACK = 28
# No platform tells of earlier times, and leadflow takes none: such a case stays where it is.
_EARLIEST_YEAR = 1970
_COUNTED = re.compile(r"^leadflow_scoring_events_total\{.*\} (\d+)", re.MULTILINE)


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(
            (OWN, ELSEWHERE),
            id="own cases and those of the contract",
            marks=pytest.mark.skipif(not ELSEWHERE.exists(), reason=f"{ELSEWHERE.name} is not there"),
        ),
        pytest.param(
            (OWN,),
            id="own cases",
            marks=pytest.mark.skipif(ELSEWHERE.exists(), reason="they come out together with those of the contract"),
        ),
    ],
)
async def test_cases_come_out_of_the_running_service_as_they_are_written_down(
    installation: Installation, files: Sequence[Path]
) -> None:
    chosen = [case for file in files for case in _cases(file)]
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(installation.running())
        keys = await _keys(installation, len(chosen))
        clients = [await stack.enter_async_context(running.client(key)) for key in keys]
        await wait_until(lambda: _is_let_in(clients[-1]), "the keys are known")

        posted = await gather_limited(4, [_post(*pair) for pair in zip(clients, chosen, strict=True)])
        await wait_until(
            lambda: _all_counted(running, sum(posted)),
            "every event is counted",
            timeout_seconds=60,
            every_seconds=0.1,
        )
        await gather_limited(4, [_compare(*pair) for pair in zip(clients, chosen, strict=True)])


def _cases(path: Path) -> list[dict[str, Any]]:
    """The cases of a file, moved into the past as far as they can be."""
    return [_moved(case) for case in from_json(path.read_bytes())["cases"]]


def _moved(case: dict[str, Any]) -> dict[str, Any]:
    events = [{**event, "occurred_at": _happened(event)} for event in case["events"]]
    expected = [{**one, "at": datetime.fromisoformat(one["at"])} for one in case["expect"]]
    first = min((event["occurred_at"] for event in events), default=datetime.now(UTC))
    years = _YEARS_BACK if first.year - _YEARS_BACK >= _EARLIEST_YEAR else 0
    for part, name in ((events, "occurred_at"), (expected, "at")):
        for one in part:
            one[name] = one[name].replace(year=one[name].year - years)
    return {**case, "events": events, "expect": expected}


def _happened(event: Mapping[str, Any]) -> datetime:
    return min(datetime.fromisoformat(event[name]) for name in ("occurred_at", "received_at") if name in event)


async def _keys(installation: Installation, number: int) -> list[str]:
    """A key for each of so many workspaces."""
    url = installation.environment.get("LEADFLOW_DATABASE_URL")
    async with database(Settings(data_dir=installation.directory / "data", database_url=url)) as opened:
        repository = KeyRepository(opened)
        now = datetime.now(UTC)
        made = [
            await repository.create(f"case-{index}", name="case", scopes=[Scope.ADMIN], now=now)
            for index in range(number)
        ]
    return [key.text for key in made]


async def _is_let_in(client: httpx.AsyncClient) -> bool:
    return (await client.get("/v1/leads")).status_code == 200


async def _post(client: httpx.AsyncClient, case: Mapping[str, Any]) -> int:
    """Publish the case's model and send its events, twice and in any order; returns how many were sent."""
    answer = await client.post("/v1/models", json={"document": case["model"]})
    assert answer.status_code == 201, answer.text
    events = [_event(case["name"], event) for event in case["events"]] * 2
    random.Random(case["name"]).shuffle(events)
    for start in range(0, len(events), 20):
        answer = await client.post("/v1/events", json=events[start : start + 20])
        assert answer.status_code == 202, answer.text
        assert answer.json()["refused"] == 0, answer.text
    return len(events)


def _event(case: str, event: Mapping[str, Any]) -> dict[str, Any]:
    sent = {name: value for name, value in event.items() if name != "received_at"}
    return {**sent, "occurred_at": event["occurred_at"].isoformat(), "lead": {"external_ids": {"case": case}}}


async def _all_counted(running: Running, posted: int) -> bool:
    async with httpx.AsyncClient(base_url=running.base_url, trust_env=False) as client:
        page = (await client.get("/metrics")).text
    return sum(int(number) for number in _COUNTED.findall(page)) >= posted


async def _compare(client: httpx.AsyncClient, case: Mapping[str, Any]) -> None:
    if not case["events"]:
        return
    what = f"{case['name']} has its lead"
    listed = await until_json(client, "/v1/leads", lambda found: found["leads"], what, timeout_seconds=60)
    (lead,) = listed["leads"]
    for expected in case["expect"]:
        answer = await client.get(f"/v1/scores/{lead['id']}", params={"at": expected["at"].isoformat()})
        assert answer.status_code == 200, answer.text
        assert {name: answer.json()[name] for name in ("scores", "bands", "grade")} == {
            name: expected[name] for name in ("scores", "bands", "grade")
        }
