"""The HTTP API over real PostgreSQL: what people ask, and who may ask it."""

import random
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from shared.access import Scope
from shared.events.curve import published, scores_at
from shared.events.json import Json
from tests.integration.pipeline.conftest import PipelineHarness
from tests.support.pipeline import (
    LEAD,
    NOON,
    OTHER,
    QUALIFYING,
    a_curve,
    a_document,
    a_position,
    a_recorded_event,
    a_score_change,
    an_entry,
    merged,
    recorded,
)

pytestmark = pytest.mark.postgres

DAY = timedelta(days=1)
SWEDISH: dict[str, Json] = {"country": "SE", "employees": 50}


def a_lead_id(number: int) -> str:
    return str(UUID(int=number, version=4))


async def test_the_hot_list_is_ordered_exactly_by_the_value_now(pipeline: PipelineHarness) -> None:
    dice = random.Random(7)
    curves = {
        a_lead_id(number): a_curve(
            NOON, dice.uniform(0, 120), half_life=dice.choice([None, DAY / 4, DAY, 30 * DAY]), fit=dice.uniform(0, 40)
        )
        for number in range(1, 650)
    }
    await pipeline.take_in(*(a_score_change(1, lead=lead, curve=curve) for lead, curve in curves.items()))
    pipeline.clock.move_to(NOON + 2 * DAY)
    client = await pipeline.client(Scope.LEADS_READ)

    found: list[tuple[float, str]] = []
    cursor: str | None = None
    for _ in range(3):
        query = {"limit": "50", **({"cursor": cursor} if cursor else {})}
        page = (await client.get("/v1/leads", params=query)).json()
        found += [(lead["value"], lead["id"]) for lead in page["leads"]]
        cursor = page["next_cursor"]

    values = {lead: scores_at(curve, NOON + 2 * DAY)["total"] for lead, curve in curves.items()}
    hottest = sorted(((value, lead) for lead, value in values.items()), reverse=True)[:150]
    assert found == [(published(value), lead) for value, lead in hottest]


async def test_the_hot_list_filters_by_what_is_known_of_a_lead(pipeline: PipelineHarness) -> None:
    await pipeline.take_in(
        recorded(1, a_recorded_event("demo_requested", source="hubspot"), attributes=SWEDISH),
        a_score_change(2, attributes=SWEDISH),
        recorded(1, a_recorded_event("deal_updated", owner="bo"), lead=OTHER),
        a_score_change(2, lead=OTHER, email="bo@example.com"),
    )
    client = await pipeline.client(Scope.LEADS_READ)

    async def listed(**query: str | list[str]) -> list[str]:
        answer = await client.get("/v1/leads", params=query)
        assert answer.status_code == 200, answer.text
        return [lead["id"] for lead in answer.json()["leads"]]

    assert await listed() == [OTHER, LEAD]
    assert await listed(stage="mql") == [LEAD]
    assert await listed(owner="bo") == [OTHER]
    assert await listed(source="hubspot") == [LEAD]
    assert await listed(email="Bo@Example.com") == [OTHER]
    assert await listed(attribute=["country=SE", "employees=50"]) == [LEAD]
    assert await listed(attribute="country=NO") == []
    assert await listed(grade="A1", band="hot") == [OTHER, LEAD]
    assert await listed(score="fit", limit="1") == [OTHER]
    assert await listed(stage="proposal") == []


async def test_a_name_that_is_none_is_refused_and_makes_no_empty_list(pipeline: PipelineHarness) -> None:
    client = await pipeline.client(Scope.LEADS_READ)
    too_early = await client.get("/v1/leads?score=total")
    await pipeline.take_in(a_score_change(1))

    score = await client.get("/v1/leads?score=bogus&owner=bo")
    stage = await client.get("/v1/leads?stage=bogus")

    assert too_early.json()["leads"] == []
    assert (score.status_code, score.json()["field"], score.json()["code"]) == (422, "score", "unknown_score")
    assert score.json()["detail"] == "there is no such score; there are engagement, fit, total"
    assert (stage.status_code, stage.json()["field"], stage.json()["code"]) == (422, "stage", "unknown_stage")
    assert "there are new, " in stage.json()["detail"]


async def test_a_stage_that_the_pipeline_has_no_more_is_a_name_while_somebody_stands_there(
    pipeline: PipelineHarness,
) -> None:
    await pipeline.take_in(a_score_change(1))
    await pipeline.publish(a_document(stages=[{"id": "start", "initial": True}]))
    client = await pipeline.client(Scope.LEADS_READ)

    everybody = await client.get("/v1/leads?stage=new")
    nobody = await client.get("/v1/leads?stage=new&owner=nobody")

    assert [lead["id"] for lead in everybody.json()["leads"]] == [LEAD]
    assert (nobody.status_code, nobody.json()["leads"]) == (200, [])


@pytest.mark.parametrize(
    "query",
    [
        "cursor=%FF",
        "cursor=abc",
        "limit=0",
        "limit=101",
        "stage=%00",
        "unknown=1",
        "attribute=x",
        "attribute=x%3D%00",
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(pipeline: PipelineHarness, query: str) -> None:
    client = await pipeline.client(Scope.LEADS_READ)

    answer = await client.get(f"/v1/leads?{query}")

    assert answer.status_code == 422


async def test_a_lead_explains_its_scores_as_they_are_now(pipeline: PipelineHarness) -> None:
    ledger = {
        "engagement": (an_entry("demo", 64.0, half_life_seconds=DAY.total_seconds()), an_entry("cap", 0.0)),
        "total": (an_entry("engagement", 64.0, kind="component", points=1.0),),
    }
    await pipeline.take_in(a_score_change(1, curve=a_curve(NOON, 64.0, half_life=DAY), ledger=ledger))
    pipeline.clock.move_to(NOON + 2 * DAY)
    client = await pipeline.client(Scope.LEADS_READ)

    lead = (await client.get(f"/v1/leads/{LEAD}")).json()
    hot = (await client.get("/v1/leads")).json()["leads"][0]

    assert lead["scores"] == {"engagement": 16.0, "fit": 0.0, "total": 16.0}
    engagement = lead["ledger"]["engagement"]
    assert [entry["worth_now"] for entry in engagement["entries"]] == [16.0, 0.0]
    assert engagement["withheld"] == 0.0
    assert hot["reasons"] == ["demo counts 64 points"]


async def test_a_lead_shows_stage_evidence_thresholds_and_deal(pipeline: PipelineHarness) -> None:
    confirmed = a_recorded_event("criterion_confirmed", criterion="timeline", actor="ada", note="said so")
    await pipeline.take_in(
        recorded(1, confirmed, a_recorded_event("deal_updated", amount=5_000), attributes=QUALIFYING),
        a_score_change(2, thresholds={"mql": a_position("reached")}, attributes=QUALIFYING),
    )
    client = await pipeline.client(Scope.LEADS_READ)

    lead = (await client.get(f"/v1/leads/{LEAD}")).json()

    assert lead["stage"]["stage"] == "sql"
    assert lead["qualification"]["state"] == "qualified"
    evidence = {item["criterion"]: (item["state"], item["source"]) for item in lead["qualification"]["evidence"]}
    assert evidence == {
        "budget": ("met", "rule"),
        "authority": ("met", "rule"),
        "need": ("met", "rule"),
        "timeline": ("met", "person"),
    }
    assert lead["thresholds"]["mql"]["inside"]
    assert lead["deal"] == {"amount": 5_000}


async def test_an_absorbed_lead_answers_with_the_survivor(pipeline: PipelineHarness) -> None:
    await pipeline.take_in(a_score_change(1), a_score_change(1, lead=OTHER), merged(2))
    client = await pipeline.client(Scope.LEADS_READ)

    assert (await client.get(f"/v1/leads/{OTHER}")).json()["id"] == LEAD
    assert [lead["id"] for lead in (await client.get("/v1/leads")).json()["leads"]] == [LEAD]


async def test_histories_are_paged_the_newest_first(pipeline: PipelineHarness) -> None:
    events = [a_recorded_event("page_viewed", NOON + timedelta(minutes=number // 2)) for number in range(7)]
    await pipeline.take_in(*(recorded(number, event) for number, event in enumerate(events, start=1)))
    client = await pipeline.client(Scope.LEADS_READ)

    moments: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": "3", **({"cursor": cursor} if cursor else {})}
        page = (await client.get(f"/v1/leads/{LEAD}/timeline", params=query)).json()
        moments += [entry["at"] for entry in page["entries"]]
        cursor = page["next_cursor"]

    assert len(moments) == 8
    assert moments == sorted(moments, reverse=True)
    stages = (await client.get(f"/v1/leads/{LEAD}/stages")).json()["entries"]
    assert [entry["data"]["to_stage"] for entry in stages] == ["new"]


async def test_a_move_by_a_person_answers_with_the_lead_or_the_guards_code(pipeline: PipelineHarness) -> None:
    await pipeline.take_in(a_score_change(1))
    client = await pipeline.client(Scope.ADMIN)
    url = f"/v1/leads/{LEAD}/stage"

    refused = await client.post(url, json={"to": "lost", "actor": "ada"})
    moved = await client.post(url, json={"to": "lost", "actor": "ada", "reason": "no budget"})
    stuck = await client.post(url, json={"to": "new", "actor": "ada"})
    overridden = await client.post(url, json={"to": "new", "actor": "ada", "reason": "by mistake", "override": True})

    assert (refused.status_code, refused.json()["code"]) == (409, "requirement_missing")
    assert (moved.status_code, moved.json()["stage"]["stage"]) == (200, "lost")
    assert (stuck.status_code, stuck.json()["code"]) == (409, "from_terminal_refused")
    assert overridden.json()["stage"]["stage"] == "new"


@pytest.mark.parametrize("text", ["\x00", "\ud800"], ids=["NUL", "lone surrogate"])
async def test_text_that_cannot_be_stored_is_refused(pipeline: PipelineHarness, text: str) -> None:
    client = await pipeline.client(Scope.ADMIN)
    await pipeline.take_in(a_score_change(1))
    escaped = f"\\u{ord(text):04x}"

    for url, body in {
        f"/v1/leads/{LEAD}/stage": '{"to": "lost", "actor": "ada", "reason": "X"}',
        "/v1/pipelines": '{"document": {"pipeline": "X"}}',
        "/v1/subscriptions": '{"url": "https://example.com/X"}',
    }.items():
        answer = await client.post(
            url, content=body.replace("X", escaped), headers={"content-type": "application/json"}
        )
        assert 400 <= answer.status_code < 500, (url, answer.text)


async def test_no_workspace_sees_anothers_leads(pipeline: PipelineHarness) -> None:
    await pipeline.take_in(a_score_change(1))
    stranger = await pipeline.client(Scope.ADMIN, workspace="elsewhere")
    move = {"to": "lost", "actor": "eve", "reason": "x"}

    assert (await stranger.get("/v1/leads")).json()["leads"] == []
    for path in ("", "/timeline", "/stages"):
        assert (await stranger.get(f"/v1/leads/{LEAD}{path}")).status_code == 404
    assert (await stranger.post(f"/v1/leads/{LEAD}/stage", json=move)).status_code == 404


async def test_every_route_asks_for_its_scope(pipeline: PipelineHarness) -> None:
    client = await pipeline.client(Scope.EVENTS_WRITE)
    some = uuid4()
    routes = [
        ("GET", "/v1/leads"),
        ("GET", f"/v1/leads/{some}"),
        ("GET", f"/v1/leads/{some}/timeline"),
        ("GET", f"/v1/leads/{some}/stages"),
        ("POST", f"/v1/leads/{some}/stage"),
        ("GET", "/v1/pipelines"),
        ("POST", "/v1/pipelines"),
        ("POST", "/v1/pipelines/validate"),
        ("GET", "/v1/pipelines/1"),
        ("GET", "/v1/subscriptions"),
        ("POST", "/v1/subscriptions"),
        ("DELETE", f"/v1/subscriptions/{some}"),
        ("GET", f"/v1/subscriptions/{some}/deliveries"),
        ("POST", f"/v1/subscriptions/{some}/test"),
    ]

    for method, path in routes:
        assert (await client.request(method, path)).status_code == 403, path
        assert (await client.request(method, path, headers={"authorization": "Bearer x"})).status_code == 401, path


async def test_a_pipeline_is_published_in_versions_that_never_change(pipeline: PipelineHarness) -> None:
    client = await pipeline.client(Scope.ADMIN)

    again = await client.post("/v1/pipelines", json={"document": a_document()})
    second = await client.post("/v1/pipelines", json={"document": a_document(moves={"back": "refused"})})
    listed = (await client.get("/v1/pipelines")).json()
    first = (await client.get("/v1/pipelines/1")).json()

    assert (again.status_code, again.json()["version"]) == (201, 1)
    assert second.json()["version"] == 2
    assert [(item["version"], item["active"]) for item in listed] == [(2, True), (1, False)]
    assert first["document"] == a_document()


async def test_an_invalid_pipeline_is_refused_with_every_fault(pipeline: PipelineHarness) -> None:
    client = await pipeline.client(Scope.ADMIN)
    document = {"pipeline": "x", "stages": [{"id": "a"}, {"id": "a", "due": "soon"}], "surprise": 1}

    answer = await client.post("/v1/pipelines/validate", json={"document": document})

    assert answer.status_code == 422
    assert {fault["field"] for fault in answer.json()["errors"]} == {
        "stages",
        "stages[1].id",
        "stages[1].due",
        "surprise",
    }
