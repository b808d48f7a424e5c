"""`leadflow models backtest` on real PostgreSQL, and on loan applications of a bank."""

import asyncio
import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from services.command import models as commands
from services.ingest.importing.mapping import parse_mapping
from services.ingest.importing.translation import items_of
from services.scorer.domain.events.event import Event
from services.scorer.domain.events.text import read_events
from services.scorer.domain.models.document import parse_model
from services.scorer.domain.what_if.backtest.observing import EventMatch, Question, Scorer, observe
from services.scorer.domain.what_if.backtest.report import Contender, Report, Wish, report_of
from services.scorer.domain.what_if.backtest.variants import with_half_life
from services.scorer.models import versions
from services.scorer.service import Scorer as ScorerService
from shared.clock import ManualClock
from shared.db.engine import Database
from shared.db.outbox import Outbox
from shared.db.reach import ALL_WORKSPACES
from shared.documents.durations import DAY_US
from shared.documents.yaml_text import read_yaml
from shared.events.json import Json, parse_json
from tests.support.datasets import MAPPINGS, REPOSITORY, dataset, rows_of
from tests.support.market import EXAMPLES, IMPORTED, market
from tests.support.messages import an_event

MODEL = EXAMPLES / "model.yaml"
PICTURE = REPOSITORY / "docs" / "backtest.svg"
HALF_LIVES = ("--half-life", "none", "--half-life", "14d", "--half-life", "3d")


@pytest.fixture(autouse=True)
def environment(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADFLOW_DATABASE_URL", database_url)
    monkeypatch.setenv("COLUMNS", "250")


async def count(database: Database, leads: int | None = None) -> None:
    """Let a scorer without a model count the market."""
    scorer = ScorerService(database, Outbox("scorer"), ManualClock(IMPORTED + timedelta(days=1)))
    messages = list(market(leads))
    for begin in range(0, len(messages), 1000):
        await scorer.count(messages[begin : begin + 1000], reach=ALL_WORKSPACES)


async def backtest(*arguments: str) -> Result:
    # A command runs a loop of its own, so it needs a thread of its own.
    given = ["backtest", *arguments, "--processes", "0"]
    return await asyncio.to_thread(CliRunner().invoke, commands.app, given)


async def test_models_are_ranked_with_intervals_and_drawn_as_in_the_documentation(
    database: Database, tmp_path: Path
) -> None:
    await count(database)
    drawn = tmp_path / "backtest.svg"

    shown = await backtest(str(MODEL), *HALF_LIVES, "--imported", "market", "--plot", str(drawn))

    assert shown.exit_code == 0, shown.output
    ranks = [line.split("│")[1:4] for line in shown.stdout.splitlines() if "model (" in line and "│" in line]
    assert [(rank.strip(), model.strip()) for rank, model, _ in ranks] == [
        ("1", "model (14d)"),
        ("2", "model (none)"),
        ("3", "model (3d)"),
    ]
    assert "554 leads, 154 won" in shown.stdout
    assert drawn.read_text() == PICTURE.read_text(), "docs/backtest.md says how to draw it again"


async def test_published_versions_and_files_are_compared_on_the_same_leads(
    database: Database, tmp_path: Path
) -> None:
    await count(database, 200)
    await versions.publish(
        database, ManualClock(IMPORTED), "default", fit_only(), by="kim", reason="less", activate=True
    )
    page = tmp_path / "backtest.html"

    told = await backtest(
        str(MODEL), "1", "--imported", "market", "--share-of-wins", "0.8", "--json", "--plot", str(page)
    )

    assert told.exit_code == 0, told.output
    report: Any = parse_json(told.stdout.encode())
    assert [(model["label"], model["score"]) for model in report["models"]] == [
        ("model", "total"),
        ("version 1", "fit"),
    ]
    assert report["comparisons"][0].keys() == {"better", "worse", "difference", "p_value", "within_noise"}
    assert all(model["area"]["low"] < model["area"]["value"] < model["area"]["high"] for model in report["models"])
    assert [model["advice"][0]["wanted"] for model in report["models"]] == ["share_of_wins"] * 2
    assert page.read_text().startswith("<!doctype html>")


def fit_only() -> Json:
    rule: Json = {"id": "right_size", "if": {"attributes.employees": {"gte": 50, "lte": 5000}}, "points": 30}
    return {"model": "fit", "scores": {"fit": {"rules": [rule]}}}


async def test_what_was_received_later_was_not_known_and_the_command_says_so(database: Database) -> None:
    await count(database, 60)

    told = await backtest(str(MODEL))
    regular = await backtest(str(MODEL), "--every", "1w")

    assert told.exit_code == 0, told.output
    assert "give --imported market" in told.stdout
    assert regular.exit_code == 1
    assert "--imported market?" in regular.stderr


async def test_another_workspace_is_no_part_of_it(database: Database) -> None:
    await count(database, 60)

    told = await backtest(str(MODEL), "--workspace", "other")

    assert (told.exit_code, told.stderr) == (1, "leadflow: other has no events\n")


async def test_worker_processes_come_to_the_same_report(database: Database) -> None:
    await count(database, 60)
    arguments = [str(MODEL), "--imported", "market", "--every", "1w", "--json"]

    alone = await backtest(*arguments)
    together = await asyncio.to_thread(CliRunner().invoke, commands.app, ["backtest", *arguments, "--processes", "2"])

    assert alone.exit_code == together.exit_code == 0, together.output
    assert together.stdout == alone.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such.yaml"], "no-such.yaml: No such file or directory"),
        (["7"], "there is no version 7 of the model"),
        (["99999999999999999999"], "99999999999999999999 is no version"),
        ([str(MODEL), "--score", "fame"], "model has no score fame, but engagement, fit, total"),
        ([str(MODEL), str(MODEL)], "two models have one name: model, model"),
        ([str(MODEL), "--half-life", "soon"], "scores.engagement.half_life: "),
        ([str(MODEL), "--horizon", "soon"], "--horizon soon: must be a duration"),
        ([str(MODEL), "--every", "1m"], "--every 1m: must be at least 1h"),
        ([str(MODEL), "--every", "1d", "--handover", "demo_requested"], "regularly or at its handover, not both"),
        ([str(MODEL), "--from", "yesterday"], "--from yesterday: must be a day, or a time with its zone"),
        ([str(MODEL), "--until", "2026-01-01T00:00:00"], "--until 2026-01-01T00:00:00: must be a day, or"),
        ([str(MODEL), "--won", "deal:"], "deal:: must be an event type, or TYPE:PROPERTY=VALUE"),
        ([str(MODEL), "--plot", "plot.png"], "plot.png: the name of a plot must end in .svg or .html"),
        ([str(MODEL), "--plot", "no/such/plot.svg"], "there is no directory no/such"),
        ([str(MODEL), "--leads-per-week", "inf"], "--leads-per-week inf: must be a number"),
        ([str(MODEL)] * 13, "13 models at once: 12 can be told apart"),
        ([str(MODEL)], "default has no events"),
    ],
)
async def test_what_cannot_be_is_told_in_a_line(database: Database, arguments: list[str], message: str) -> None:
    told = await backtest(*arguments)

    assert told.exit_code == 1
    assert message in told.stderr
    assert "Traceback" not in told.output


async def test_a_retracted_outcome_is_none(database: Database) -> None:
    scorer = ScorerService(database, Outbox("scorer"), ManualClock(IMPORTED + timedelta(days=1)))
    await count(database, 20)
    wins = [message.data for message in market(20) if message.data.type == "deal_won"]
    retractions = [
        an_event(
            f"not-{win.id}",
            "event_voided",
            at=IMPORTED,
            source="market",
            email=win.lead.email,
            properties={"event_id": win.id},
        )
        for win in wins
    ]
    await scorer.count(retractions, reach=ALL_WORKSPACES)

    told = await backtest(str(MODEL), "--imported", "market")

    assert told.exit_code == 1
    assert "of 20 leads 0 could be observed before a win" in told.stderr


def test_on_bpi_2012_a_half_life_near_the_sales_cycle_is_best_and_one_far_below_it_is_worst() -> None:
    """A third of the cases; docs/backtest.md has what came of all of them."""
    report = bpi_2012("none", "1d", "7d", "14d", "30d")

    areas = {model.label: model.area for model in report.models}
    assert [report.models[place].label for place in report.ranking] == ["14d", "30d", "7d", "none", "1d"]
    assert areas["14d"].low < 0.80 < areas["14d"].high
    assert areas["none"].low < 0.77 < areas["none"].high
    assert areas["1d"].low < 0.67 < areas["1d"].high
    assert not within_noise(report, "14d", "none")
    assert not within_noise(report, "none", "1d")
    assert within_noise(report, "14d", "30d")


def within_noise(report: Report, one: str, other: str) -> bool:
    labels = [model.label for model in report.models]
    pair = {labels.index(one), labels.index(other)}
    return next(each.within_noise for each in report.comparisons if {each.better, each.worse} == pair)


def bpi_2012(*half_lives: str) -> Report:
    """Is an open application granted within 7 days? Asked every day of every third one."""
    cases = applications(every=3)
    question = Question(
        until_us=max(event.at_us for events in cases for event in events) + 1,
        lost=(EventMatch("application_declined"), EventMatch("application_cancelled")),
        every_us=DAY_US,
        within_us=7 * DAY_US,
    )
    document = read_yaml((EXAMPLES / "backtest" / "bpi_2012.yaml").read_text())
    scorers = [Scorer(parse_model(with_half_life(document, each)), "progress") for each in half_lives]
    contenders = [Contender(half_life, "progress", ()) for half_life in half_lives]
    return report_of(observe(question, scorers, cases), contenders, question, wish=Wish())


def applications(*, every: int) -> list[list[Event]]:
    """Histories of one case in `every`, mapped as an import would map them."""
    mapping = parse_mapping(read_yaml((MAPPINGS / "bpi_2012.yaml").read_text()))
    by_case: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows_of(dataset("bpic2012_events_dev.csv.gz")):
        by_case[row["case_id"]].append(row)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        list(
            read_events(
                json.dumps([item.element for row in by_case[case] for item in items_of(row, mapping, now)]).encode()
            )
        )
        for case in sorted(by_case)[::every]
    ]
