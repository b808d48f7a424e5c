"""Two leads become one and two again in the running service: scores, stages and messages, from HTTP to HTTP."""

from pathlib import Path
from typing import Any

import httpx

from tests.support.leadflow_process import Installation, until_json
from tests.support.waiting import wait_until

MODEL = {
    "model": "pages",
    "scores": {"total": {"rules": [{"id": "page", "on": "page_viewed", "points": 10}]}},
    "bands": {"total": {"hot": 20, "cold": 0}},
    "thresholds": {"mql": {"score": "total", "enter": 20, "exit": 15}},
}
PIPELINE = {
    "pipeline": "short",
    "stages": [{"id": "new", "initial": True}, {"id": "mql", "enter_when": {"threshold": "mql"}}],
}
PERSON = {"actor": "anna", "reason": "two people at one laptop"}


async def test_two_leads_of_one_are_two_again_in_scores_and_stages(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    async with installation.running() as running:
        key = installation.run("keys", "create", "--scope", "admin")
        async with running.client(key) as client:
            await wait_until(lambda: _is_let_in(client), "the key is known")
            await client.post("/v1/models", json={"document": MODEL})
            await client.post("/v1/pipelines", json={"document": PIPELINE})
            ann, bo = [await _a_lead(client, name) for name in ("ann", "bo")]

            await _view(client, "ann at the laptop", "ann", anonymous_id="laptop")
            await _view(client, "bo at the laptop", "bo", anonymous_id="laptop")
            await until_json(client, f"/v1/leads/{bo}", lambda found: found["id"] == ann, "Bo is taken for Ann")
            await until_json(client, f"/v1/leads/{ann}", lambda found: found["scores"] == {"total": 40}, "one score")

            answer = await client.post(f"/v1/scores/{ann}/unmerge", json={"absorbed": bo, **PERSON})
            assert answer.status_code == 200, answer.text

            restored = await until_json(client, f"/v1/leads/{bo}", lambda found: found["id"] == bo, "Bo is back")
            assert (restored["emails"], restored["stage"]["stage"]) == (["bo@acme.example"], "mql")
            await until_json(client, f"/v1/leads/{bo}", lambda found: found["scores"] == {"total": 20}, "Bo's score")
            await until_json(
                client, f"/v1/leads/{ann}", lambda found: found["scores"] == {"total": 20}, "Ann's score"
            )
            await _view(client, "once more", "bo", anonymous_id="laptop")
            await until_json(client, f"/v1/leads/{bo}", lambda found: found["scores"] == {"total": 30}, "it is Bo's")
            assert len((await client.get("/v1/leads")).json()["leads"]) == 2
        assert running.stop() == 0


async def _is_let_in(client: httpx.AsyncClient) -> bool:
    return (await client.get("/v1/leads")).status_code == 200


async def _a_lead(client: httpx.AsyncClient, name: str) -> str:
    """The id of a new lead with one page view."""
    await _view(client, f"{name} comes", name)
    path = f"/v1/leads?email={name}@acme.example"
    found = await until_json(client, path, lambda listed: listed["leads"], f"{name} is scored")
    lead: str = found["leads"][0]["id"]
    return lead


async def _view(client: httpx.AsyncClient, event_id: str, name: str, **more: Any) -> None:
    lead = {"email": f"{name}@acme.example", **more}
    answer = await client.post("/v1/events", json={"id": event_id, "type": "page_viewed", "lead": lead})
    assert answer.status_code == 202, answer.text
