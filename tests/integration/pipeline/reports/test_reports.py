"""Reports over HTTP, on leads that came by messages of the scorer."""

import csv
from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from services.command.main import app
from shared.access import Scope
from shared.db.reach import ALL_WORKSPACES
from shared.events.scores import RecordedEvent
from tests.integration.pipeline.conftest import PipelineHarness
from tests.support.pipeline import (
    LEAD,
    NOON,
    OTHER,
    QUALIFYING,
    a_position,
    a_recorded_event,
    a_score_change,
    merged,
    recorded,
)

pytestmark = pytest.mark.postgres
DAY = timedelta(days=1)
DEAL: dict[str, Any] = {"owner": "ada", "amount": 1000, "currency": "EUR", "close_date": "2026-04-30"}


def a_lead_id(number: int) -> str:
    return str(UUID(int=number, version=4))


def moves(*stages: str, source: str = "web", **deal: Any) -> list[RecordedEvent]:
    """A visit, and a day later each the stages that a CRM says."""
    events = [a_recorded_event("page_viewed", NOON, source=source)]
    for number, stage in enumerate(stages, 1):
        event = a_recorded_event("stage_changed", NOON + number * DAY, source="crm", stage=stage, reason="so", **deal)
        events.append(event)
    return events


async def take_in(pipeline: PipelineHarness, *leads: list[RecordedEvent], first: int = 1, **rest: Any) -> None:
    await pipeline.take_in(
        *(recorded(1, *events, lead=a_lead_id(number), **rest) for number, events in enumerate(leads, first))
    )


async def report(client: httpx.AsyncClient, name: str, **query: Any) -> dict[str, Any]:
    answer = await client.get(f"/v1/reports/{name}", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def stages_of(client: httpx.AsyncClient, **query: Any) -> dict[str, dict[str, Any]]:
    (group,) = (await report(client, "funnel", **query))["groups"]
    return {stage["stage"]: stage for stage in group["stages"]}


async def test_the_funnel_counts_who_came_where_and_how_long_it_took(pipeline: PipelineHarness) -> None:
    await take_in(
        pipeline,
        moves(),
        moves("engaged"),
        moves("engaged", "sql"),
        moves("engaged", "sql", "negotiation", "won", **DEAL),
        moves("engaged", "lost"),
    )
    client = await pipeline.client(Scope.LEADS_READ)

    stages = await stages_of(client)

    assert {name: stage["entered"] for name, stage in stages.items() if stage["entered"]} == {
        "new": 5,
        "engaged": 4,
        "sql": 2,
        "negotiation": 1,
        "won": 1,
        "lost": 1,
    }
    engaged = stages["engaged"]
    assert [engaged[name]["count"] for name in ("to_next", "to_later", "to_won")] == [0, 2, 1]
    assert (engaged["standing"], engaged["days"]) == (1, {"count": 3, "median": 1.0, "p90": 1.0})
    assert engaged["to_later"]["low"] < 0.5 < engaged["to_later"]["high"]


async def test_a_lead_that_goes_back_and_forth_is_counted_once_with_all_its_days(pipeline: PipelineHarness) -> None:
    await take_in(pipeline, moves("engaged", "new", "engaged", "sql"))
    client = await pipeline.client(Scope.LEADS_READ)

    stages = await stages_of(client)

    assert (stages["new"]["entered"], stages["new"]["days"]["median"]) == (1, 2.0)
    assert (stages["engaged"]["entered"], stages["engaged"]["days"]["median"]) == (1, 2.0)


async def test_leads_that_are_one_are_one_in_reports(pipeline: PipelineHarness) -> None:
    await pipeline.take_in(
        recorded(1, *moves("engaged", source="web")),
        recorded(1, *moves("engaged", "sql", source="fair"), lead=OTHER),
        merged(2),
    )
    client = await pipeline.client(Scope.LEADS_READ)

    stages = await stages_of(client)

    assert [stages[name]["entered"] for name in ("new", "engaged", "sql")] == [1, 1, 1]
    assert stages["sql"]["standing"] == 1


async def test_cohorts_are_days_of_the_first_event_or_of_the_entry(unpublished: PipelineHarness) -> None:
    """Without a pipeline nobody enters one: these leads are seen, and enter with the next that is heard of them."""
    await take_in(unpublished, moves())
    await unpublished.publish()
    await unpublished.take_in(recorded(2, a_recorded_event("page_viewed", NOON + 3 * DAY), lead=a_lead_id(1)))
    client = await unpublished.client(Scope.LEADS_READ)

    day = {"from": "2026-03-02", "until": "2026-03-03"}
    assert (await report(client, "funnel", **day))["leads"] == 1
    assert (await report(client, "funnel", **day, basis="entered"))["leads"] == 0
    entered = {"from": "2026-03-05", "until": "2026-03-06", "basis": "entered"}
    assert (await report(client, "funnel", **entered))["leads"] == 1


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("source", {"web": 2, "fair": 1}),
        ("owner", {"ada": 2, None: 1}),
        ("stage", {"sql": 2, "new": 1}),
        ("attributes.country", {"SE": 3}),
        ("attributes.amount", {"1000": 2, None: 1}),
        ("attributes.nothing", {None: 3}),
    ],
)
async def test_leads_are_grouped_by_what_is_known_of_them(
    pipeline: PipelineHarness, by: str, groups: dict[str | None, int]
) -> None:
    leads = [moves("sql", **DEAL), moves("sql", **DEAL), moves(source="fair")]
    await take_in(pipeline, *leads, attributes={"country": "SE"})
    client = await pipeline.client(Scope.LEADS_READ)

    found = await report(client, "funnel", by=by)

    assert {group["group"]: group["leads"] for group in found["groups"]} == groups


async def test_beyond_fifty_groups_the_rest_is_one(pipeline: PipelineHarness) -> None:
    await take_in(pipeline, *(moves(source=f"source-{number:02}") for number in range(53)), moves(source="source-52"))
    client = await pipeline.client(Scope.LEADS_READ)

    funnel = await report(client, "funnel", by="source")
    sources = (await report(client, "sources"))["touches"][0]
    stuck = await report(client, "stalled", by="source")

    assert {group["group"]: group["leads"] for group in funnel["groups"]}["(others)"] == 3
    assert {group["group"]: group["leads"] for group in sources["groups"]}["(others)"] == 3
    assert {group["group"]: group["open"] for group in stuck["groups"]}["(others)"] == 3
    assert len(funnel["groups"]) == len(sources["groups"]) == 51


async def test_velocity_is_the_product_of_its_parts(pipeline: PipelineHarness) -> None:
    won, lost = moves("sql", "won", **{**DEAL, "amount": 3000}), moves("sql", "lost", **DEAL)
    await take_in(pipeline, won, moves("sql", "won", **DEAL), lost, moves("sql", **DEAL), moves("sql", **DEAL))
    client = await pipeline.client(Scope.LEADS_READ)

    (whole,) = (await report(client, "velocity"))["groups"]
    (from_sql,) = (await report(client, "velocity", stage="sql"))["groups"]
    dollars = await report(client, "velocity", currency="USD")

    assert (whole["open"], whole["win_rate"]["count"], whole["win_rate"]["of"]) == (2, 2, 3)
    assert (whole["value"]["mean"], whole["cycle_days"]["mean"]) == (2000.0, 2.0)
    assert whole["per_day"] == pytest.approx(2 * 2 / 3 * 2000 / 2, rel=1e-5)
    assert from_sql["cycle_days"]["mean"] == 1.0
    assert (dollars["groups"][0]["value"]["count"], dollars["other_currencies"]) == (0, 2)
    assert dollars["groups"][0]["per_day"] is None


async def test_sources_by_first_and_last_touch_tell_who_scores_qualifies_and_wins(pipeline: PipelineHarness) -> None:
    visit = a_recorded_event("page_viewed", NOON, source="web", utm_source="google", utm_campaign="spring")
    click = a_recorded_event("email_clicked", NOON + DAY, source="mail", campaign="news")
    await pipeline.take_in(
        recorded(1, visit, click, attributes=QUALIFYING),
        a_score_change(2, NOON + DAY, thresholds={"mql": a_position("reached")}, attributes=QUALIFYING),
        recorded(1, visit, lead=OTHER),
    )
    client = await pipeline.client(Scope.LEADS_READ)

    first, last = (await report(client, "sources", by="campaign"))["touches"]
    other = (await report(client, "sources", by="source", threshold="nothing"))["touches"][0]

    assert [(group["group"], group["leads"], group["scored"]["count"]) for group in first["groups"]] == [
        ("spring", 2, 1)
    ]
    assert {group["group"]: group["qualified"]["count"] for group in last["groups"]} == {"news": 1, "spring": 0}
    assert [(group["group"], group["scored"]["count"]) for group in other["groups"]] == [("google", 0)]
    assert first["won"]["verdict"] == "too_few"


async def test_who_is_stuck_comes_in_pages_the_longest_overdue_first(pipeline: PipelineHarness) -> None:
    await take_in(pipeline, moves(), moves("sql"), moves("sql", "won"), moves("engaged"))
    pipeline.clock.move_to(NOON + 30 * DAY)
    client = await pipeline.client(Scope.LEADS_READ)

    first = await report(client, "stalled", limit=1)
    second = await report(client, "stalled", limit=1, cursor=first["next_cursor"])

    assert [lead["stage"] for lead in (*first["leads"], *second["leads"])] == ["new", "sql"]
    assert second["next_cursor"] is None
    assert (first["open"], first["overdue"], first["bottleneck"]) == (3, 2, "new")
    assert (first["oldest_closed_days"], first["ancient"], len(first["ancients"])) == (2.0, 3, 1)


async def test_the_forecast_weighs_by_the_document_by_the_deal_and_by_what_came_of_such(
    pipeline: PipelineHarness,
) -> None:
    stated = {**DEAL, "probability": 0.9, "close_date": "2026-05-02"}
    await take_in(
        pipeline,
        moves("proposal", **DEAL),
        moves("proposal", **stated),
        moves("proposal", **{**DEAL, "currency": "USD"}),
        moves("proposal", "won", **DEAL),
        moves("proposal", "lost", **DEAL),
    )
    client = await pipeline.client(Scope.LEADS_READ)

    found = await report(client, "forecast", by="owner")

    months = {group["month"]: group for group in found["groups"]}
    assert (found["currency"], found["total"]["deals"], found["total"]["unvalued"]) == ("EUR", 3, 1)
    assert months["2026-04-01"]["weighted"]["expected"] == 500.0
    assert months["2026-05-01"]["weighted"]["expected"] == 900.0
    assert found["total"]["historic"]["expected"] == 1000.0
    assert found["total"]["weighted"]["low"] < 1400 < found["total"]["weighted"]["high"] <= 2000
    odds = {stage["stage"]: stage["historic"]["of"] for stage in found["stages"]}
    assert (odds["proposal"], odds["negotiation"]) == (2, 0)


@pytest.mark.parametrize("name", ["funnel", "velocity", "sources", "stalled", "forecast"])
async def test_no_report_counts_leads_of_another_workspace(pipeline: PipelineHarness, name: str) -> None:
    await pipeline.publish(workspace="ours")
    client = await pipeline.client(Scope.LEADS_READ, workspace="ours")
    pipeline.clock.move_to(NOON + 30 * DAY)
    before = await report(client, name)

    await take_in(pipeline, moves("proposal", **DEAL), moves("proposal", "won", **DEAL))

    assert await report(client, name) == before


@pytest.mark.parametrize("name", ["funnel", "velocity", "sources", "stalled", "forecast"])
async def test_every_report_is_there_as_csv(pipeline: PipelineHarness, name: str) -> None:
    await take_in(pipeline, moves("proposal", source="=1+1", **DEAL), moves("proposal", "won", **DEAL))
    pipeline.clock.move_to(NOON + 60 * DAY)
    client = await pipeline.client(Scope.LEADS_READ)

    asked = await client.get(f"/v1/reports/{name}", params={"format": "csv"})
    preferred = await client.get(f"/v1/reports/{name}", headers={"accept": "text/csv"})

    assert asked.text == preferred.text
    assert asked.headers["content-type"].startswith("text/csv")
    rows = list(csv.reader(StringIO(asked.text)))
    assert len(rows) > 1
    assert {len(row) for row in rows} == {len(rows[0])}
    assert not any(cell.startswith("=") for row in rows for cell in row)


@pytest.mark.parametrize(
    "query",
    [
        {"by": "nonsense"},
        {"by": "attributes."},
        {"from": "yesterday"},
        {"until": "0"},
        {"cohort": "day"},
        {"unknown": "1"},
    ],
)
async def test_what_no_report_can_answer_is_refused(pipeline: PipelineHarness, query: dict[str, str]) -> None:
    client = await pipeline.client(Scope.LEADS_READ)

    answer = await client.get("/v1/reports/funnel", params=query)

    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


async def test_reports_need_the_scope_to_read_leads(pipeline: PipelineHarness) -> None:
    client = await pipeline.client(Scope.EVENTS_WRITE)

    assert (await client.get("/v1/reports/funnel")).status_code == 403


async def test_an_event_that_changes_nothing_for_reports_leaves_the_row_alone(pipeline: PipelineHarness) -> None:
    await pipeline.take_in(recorded(1, *moves()))
    written = await _version(pipeline)

    await pipeline.take_in(recorded(2, a_recorded_event("feature_used", NOON + DAY)))

    assert await _version(pipeline) == written


async def _version(pipeline: PipelineHarness) -> Any:
    async with pipeline.database.transaction(ALL_WORKSPACES) as connection:
        query = text("SELECT CAST(xmin AS text) FROM pipeline.lead_report WHERE lead_id = :id")
        return await connection.scalar(query, {"id": UUID(LEAD)})


def test_the_command_tells_what_it_does_not_understand() -> None:
    for arguments, words in (
        (["funnel", "--by", "nonsense"], "attributes.NAME"),
        (["funnel", "--cohort", "day"], "week or month"),
        (["stalled", "--basis", "born"], "seen or entered"),
    ):
        result = CliRunner().invoke(app, ["report", *arguments])
        assert result.exit_code == 1
        assert words in result.stderr
