"""Time alone, in real time: a lead that nobody touches leaves its band, and the running service says so by itself."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from tests.support.leadflow_process import Installation, Running, until_json
from tests.support.waiting import wait_until

# 100 points that halve in a minute are hot for four and a half seconds.
MODEL = {
    "model": "fading",
    "scores": {"total": {"rules": [{"id": "page", "on": "page_viewed", "points": 100, "half_life": "1m"}]}},
    "bands": {"total": {"hot": 95, "cold": 0}},
}
_DELAYS = re.compile(r"^leadflow_scoring_due_delay_seconds_(sum|count) ([0-9.e+-]+)$", re.MULTILINE)
_PROMISED_SECONDS = 2.0


async def test_a_change_that_time_makes_is_told_in_time_and_after_downtime_with_its_true_moment(
    tmp_path: Path,
) -> None:
    installation = Installation(tmp_path)
    async with installation.running() as running:
        key = installation.run("keys", "create", "--scope", "admin")
        async with running.client(key) as client:
            await wait_until(lambda: _is_let_in(client), "the key is known")
            await client.post("/v1/models", json={"document": MODEL})

            lead, moment = await _a_hot_lead(client, "ann")
            assert await _told_by_time(client, lead) == moment
            assert await _longest_delay(running) <= _PROMISED_SECONDS

            lead, moment = await _a_hot_lead(client, "bo")
            assert running.stop() == 0
            await wait_until(lambda: datetime.now(UTC) > moment, "the moment has passed unseen")
    async with installation.running() as again, again.client(key) as client:
        assert await _told_by_time(client, lead) == moment


async def _is_let_in(client: httpx.AsyncClient) -> bool:
    return (await client.get("/v1/leads")).status_code == 200


async def _a_hot_lead(client: httpx.AsyncClient, name: str) -> tuple[str, datetime]:
    """A lead that has just become hot, and when it will be hot no longer."""
    event = {"id": name, "type": "page_viewed", "lead": {"email": f"{name}@acme.example"}}
    assert (await client.post("/v1/events", json=event)).status_code == 202
    path = f"/v1/leads?email={name}@acme.example"
    listed = await until_json(client, path, lambda found: found["leads"], f"{name} is scored")
    lead = listed["leads"][0]["id"]
    forecast = (await client.get(f"/v1/scores/{lead}/forecast")).json()
    assert forecast["bands"]["total"]["band"] == "hot"
    return lead, datetime.fromisoformat(forecast["bands"]["total"]["leaves_at"])


async def _told_by_time(client: httpx.AsyncClient, lead: str) -> datetime:
    """The moment that the lead's first change by time alone carries, once it has been told."""

    def by_time(found: dict[str, Any]) -> list[dict[str, Any]]:
        return [entry for entry in found["entries"] if entry["data"].get("cause") == "time"]

    path = f"/v1/leads/{lead}/timeline"
    found = await until_json(client, path, by_time, "the change by time is told", timeout_seconds=30)
    (entry,) = by_time(found)
    assert entry["data"]["current"]["bands"] == {"total": "cold"}
    return datetime.fromisoformat(entry["at"])


async def _longest_delay(running: Running) -> float:
    """Seconds from the moments to their telling, all together, as the scorer has measured them."""
    async with httpx.AsyncClient(base_url=running.base_url, trust_env=False) as client:
        measured = dict(_DELAYS.findall((await client.get("/metrics")).text))
    assert float(measured["count"]) == 1
    return float(measured["sum"])
