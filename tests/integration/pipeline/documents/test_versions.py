"""Versions of a pipeline over HTTP: published with a reason, tried, compared, drawn, taken back."""

from collections.abc import Sequence
from datetime import timedelta

import httpx
import pytest

from shared.access import Scope
from shared.events.json import Json
from tests.integration.pipeline.conftest import PipelineHarness
from tests.support.pipeline import (
    B2B,
    LEAD,
    NOON,
    OTHER,
    QUALIFYING,
    a_document,
    a_position,
    a_recorded_event,
    a_score_change,
    recorded,
)

pytestmark = pytest.mark.postgres

SIMPLE: dict[str, Json] = {
    "pipeline": "simple",
    "stages": [
        {"id": "new", "initial": True},
        {"id": "ready", "enter_when": {"threshold": "warm"}},
        {"id": "won", "terminal": "won"},
    ],
}


async def a_writer(pipeline: PipelineHarness, workspace: str = "default") -> httpx.AsyncClient:
    return await pipeline.client(Scope.LEADS_READ, Scope.PIPELINES_WRITE, workspace=workspace)


async def active(client: httpx.AsyncClient) -> list[int]:
    return [item["version"] for item in (await client.get("/v1/pipelines")).json() if item["active"]]


async def test_a_version_is_published_with_its_reason_and_counts_unless_told_otherwise(
    pipeline: PipelineHarness,
) -> None:
    client = await a_writer(pipeline)

    waiting = await client.post("/v1/pipelines", json={"document": SIMPLE, "reason": "for autumn", "activate": False})
    counting = await client.post("/v1/pipelines", json={"document": {**SIMPLE, "pipeline": "other"}})

    assert (waiting.status_code, waiting.json()["active"], waiting.json()["reason"]) == (201, False, "for autumn")
    assert (counting.json()["version"], counting.json()["active"]) == (3, True)
    assert await active(client) == [3]


async def test_the_same_document_again_is_the_same_version(pipeline: PipelineHarness) -> None:
    client = await a_writer(pipeline)

    again = await client.post("/v1/pipelines", json={"document": B2B, "reason": "to be sure"})

    assert again.json()["version"] == 1
    assert len((await client.get("/v1/pipelines/activations")).json()["activations"]) == 1


async def test_an_older_version_counts_again_and_the_history_tells_who_and_why(pipeline: PipelineHarness) -> None:
    client = await a_writer(pipeline)
    await client.post("/v1/pipelines", json={"document": SIMPLE, "reason": "simpler"})

    back = await client.post("/v1/pipelines/1/activate", json={"reason": "too simple"})
    forth = await client.post("/v1/pipelines/rollback", json={"reason": "no, good after all"})

    assert (back.json()["version"], back.json()["active"]) == (1, True)
    assert (forth.json()["version"], forth.json()["active"]) == (2, True)
    history = (await client.get("/v1/pipelines/activations")).json()["activations"]
    assert [(item["version"], item["reason"]) for item in history] == [
        (2, "no, good after all"),
        (1, "too simple"),
        (2, "simpler"),
        (1, "test"),
    ]
    assert history[0]["activated_by"].startswith("key ")


async def test_lists_come_in_pages(pipeline: PipelineHarness) -> None:
    client = await a_writer(pipeline)
    for number in range(4):
        await client.post("/v1/pipelines", json={"document": {**SIMPLE, "description": str(number)}})

    newest = (await client.get("/v1/pipelines", params={"limit": 2})).json()
    older = (await client.get("/v1/pipelines", params={"limit": 10, "before": newest[-1]["version"]})).json()
    page = (await client.get("/v1/pipelines/activations", params={"limit": 3})).json()
    rest = (await client.get("/v1/pipelines/activations", params={"cursor": page["next_cursor"]})).json()

    assert [item["version"] for item in [*newest, *older]] == [5, 4, 3, 2, 1]
    versions = [item["version"] for item in [*page["activations"], *rest["activations"]]]
    assert (versions, rest["next_cursor"]) == ([5, 4, 3, 2, 1], None)


async def test_the_first_version_cannot_be_taken_back(pipeline: PipelineHarness) -> None:
    client = await a_writer(pipeline)

    answer = await client.post("/v1/pipelines/rollback", json={"reason": "let me see"})

    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_to_roll_back")


async def test_changes_are_told_in_words(pipeline: PipelineHarness) -> None:
    client = await a_writer(pipeline)
    await client.post("/v1/pipelines", json={"document": a_document(pipeline="b2c")})

    told = (await client.get("/v1/pipelines/2/changes")).json()
    first = (await client.get("/v1/pipelines/1/changes")).json()
    backwards = (await client.get("/v1/pipelines/1/changes", params={"since": 2})).json()

    assert told == {"version": 2, "since": 1, "changes": ["the name is b2c instead of b2b-sales"]}
    assert first == {"version": 1, "since": None, "changes": []}
    assert backwards["changes"] == ["the name is b2b-sales instead of b2c"]


async def test_a_version_is_drawn(pipeline: PipelineHarness) -> None:
    client = await a_writer(pipeline)

    picture = await client.get("/v1/pipelines/1/diagram")
    words = await client.get("/v1/pipelines/1/diagram", params={"format": "mermaid"})

    assert (picture.headers["content-type"], picture.text[:4]) == ("image/svg+xml", "<svg")
    assert "default-src 'none'" in picture.headers["content-security-policy"]
    assert words.headers["content-type"].startswith("text/plain")
    assert "stateDiagram-v2" in words.text


async def leads_of_three_kinds(pipeline: PipelineHarness) -> None:
    """One that only the new rules would move, one in a stage that is to go, one that nothing changes for."""
    inside = {"warm": a_position("reached")}
    await pipeline.take_in(
        recorded(1, a_recorded_event("page_viewed"), lead=OTHER, attributes=QUALIFYING),
        recorded(2, a_recorded_event("demo_requested"), lead=OTHER, attributes=QUALIFYING),
        recorded(1, a_recorded_event("page_viewed")),
        a_score_change(2, NOON, thresholds=inside),
    )
    client = await a_writer(pipeline)
    await client.post(f"/v1/leads/{LEAD}/stage", json={"to": "new", "actor": "ada"})
    await pipeline.take_in(recorded(1, a_recorded_event("page_viewed"), lead="33333333-3333-4333-8333-333333333333"))


async def test_what_a_version_would_do_is_listed_and_not_done(pipeline: PipelineHarness) -> None:
    await leads_of_three_kinds(pipeline)
    client = await a_writer(pipeline)
    before = len(await pipeline.emitted())

    told = (await client.post("/v1/pipelines/impact", json={"document": SIMPLE})).json()

    assert told["looked_at"] == 3
    assert told["moves"] == [{"from_stage": "new", "to_stage": "ready", "leads": 1, "now": 0}]
    assert told["missing_stages"] == [{"stage": "sql", "leads": 1}]
    assert told["verdicts"] == [{"from_state": "qualified", "to_state": "open", "leads": 1}]
    assert {(lead["id"], lead["stage"], lead["stage_missing"], lead["to_stage"]) for lead in told["leads"]} == {
        (LEAD, "new", False, "ready"),
        (OTHER, "sql", True, None),
    }
    assert told["next_cursor"] is None
    assert len(await pipeline.emitted()) == before
    assert len((await client.get("/v1/pipelines")).json()) == 1


async def test_what_a_version_would_do_comes_in_pages_that_add_up(pipeline: PipelineHarness) -> None:
    await leads_of_three_kinds(pipeline)
    client = await a_writer(pipeline)
    await client.post("/v1/pipelines", json={"document": SIMPLE, "activate": False})

    pages: list[dict[str, Json]] = []
    cursor: Json = None
    while not pages or cursor:
        answer = await client.post("/v1/pipelines/impact", json={"version": 2, "limit": 1, "cursor": cursor})
        pages.append(answer.json())
        cursor = pages[-1]["next_cursor"]

    assert sum(int(str(page["looked_at"])) for page in pages) == 3
    assert sum(leads_in(page["moves"]) for page in pages) == 1
    assert sum(leads_in(page["missing_stages"]) for page in pages) == 1


def leads_in(counts: Json) -> int:
    assert isinstance(counts, list)
    return sum(int(str(item["leads"])) for item in counts if isinstance(item, dict))


async def test_activating_moves_nobody_and_a_lead_whose_stage_is_gone_stays(pipeline: PipelineHarness) -> None:
    await leads_of_three_kinds(pipeline)
    client = await a_writer(pipeline)
    before = len(await pipeline.emitted())

    await client.post("/v1/pipelines", json={"document": SIMPLE})
    await pipeline.take_in(a_score_change(3, NOON + timedelta(hours=1), lead=OTHER, attributes=QUALIFYING))
    stays = (await client.get(f"/v1/leads/{OTHER}")).json()["stage"]["stage"]
    moved = await client.post(f"/v1/leads/{OTHER}/stage", json={"to": "won", "actor": "ada"})

    assert stays == "sql"
    told = [message.type for message in (await pipeline.emitted())[before:]]
    assert "lead.stage_changed" not in told[:-1]
    assert moved.json()["stage"]["stage"] == "won"


REFUSED: Sequence[tuple[str, str, Json, int]] = [
    ("POST", "/v1/pipelines", {"document": SIMPLE, "reason": ""}, 422),
    ("POST", "/v1/pipelines", {"document": {}}, 422),
    ("POST", "/v1/pipelines/9/activate", {"reason": "x"}, 404),
    ("POST", "/v1/pipelines/1/activate", {}, 422),
    ("POST", "/v1/pipelines/rollback", {"reason": "\u0000"}, 422),
    ("POST", "/v1/pipelines/impact", {}, 422),
    ("POST", "/v1/pipelines/impact", {"document": SIMPLE, "version": 1}, 422),
    ("POST", "/v1/pipelines/impact", {"document": {}}, 422),
    ("POST", "/v1/pipelines/impact", {"version": 9}, 404),
    ("POST", "/v1/pipelines/impact", {"version": 1, "cursor": "abc"}, 422),
    ("POST", "/v1/pipelines/impact", {"version": 1, "limit": 10_001}, 422),
    ("GET", "/v1/pipelines?limit=0", None, 422),
    ("GET", "/v1/pipelines/activations?cursor=%FF", None, 422),
    ("GET", "/v1/pipelines/9/diagram", None, 404),
    ("GET", "/v1/pipelines/1/diagram?format=png", None, 422),
    ("GET", "/v1/pipelines/9/changes", None, 404),
    ("GET", "/v1/pipelines/1/changes?since=9", None, 404),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), REFUSED)
async def test_what_cannot_be_is_refused(
    pipeline: PipelineHarness, method: str, path: str, body: Json, status: int
) -> None:
    client = await a_writer(pipeline)

    answer = await client.request(method, path, json=body)

    assert answer.status_code == status, answer.text


async def test_versions_of_another_workspace_are_not_there(pipeline: PipelineHarness) -> None:
    await leads_of_three_kinds(pipeline)
    stranger = await a_writer(pipeline, workspace="elsewhere")

    listed = [
        (await stranger.get("/v1/pipelines")).json(),
        (await stranger.get("/v1/pipelines/activations")).json()["activations"],
    ]
    found = [
        await stranger.get("/v1/pipelines/1/diagram"),
        await stranger.get("/v1/pipelines/1/changes"),
        await stranger.post("/v1/pipelines/1/activate", json={"reason": "mine"}),
        await stranger.post("/v1/pipelines/impact", json={"version": 1}),
    ]
    impact = await stranger.post("/v1/pipelines/impact", json={"document": SIMPLE})

    assert listed == [[], []]
    assert {answer.status_code for answer in found} == {404}
    assert impact.json()["looked_at"] == 0


async def test_only_who_may_write_pipelines_changes_them(pipeline: PipelineHarness) -> None:
    reader = await pipeline.client(Scope.LEADS_READ)

    refused = [
        await reader.post("/v1/pipelines", json={"document": SIMPLE}),
        await reader.post("/v1/pipelines/1/activate", json={"reason": "x"}),
        await reader.post("/v1/pipelines/rollback", json={"reason": "x"}),
    ]

    assert {answer.status_code for answer in refused} == {403}
    assert (await reader.post("/v1/pipelines/impact", json={"version": 1})).status_code == 200
