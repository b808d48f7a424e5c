"""Reports on two real data sets, imported through everything, against pandas on the files themselves."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import pytest_asyncio

from services.pipeline.domain.reports.comparison import Comparison
from services.pipeline.domain.reports.selection import Selection, dimension_of
from services.pipeline.domain.reports.velocity import VelocityReport
from services.pipeline.reports.reading import Reports
from shared.documents.yaml_text import read_yaml
from shared.events.json import Json
from tests.support.datasets import MAPPINGS, REPOSITORY, dataset
from tests.support.imported import imported
from tests.support.postgres import PostgresServer

pytestmark = [pytest.mark.postgres, pytest.mark.asyncio(loop_scope="module")]
PIPELINES = REPOSITORY / "deploy" / "examples" / "pipelines"
DAY = pd.Timedelta(days=1)


@dataclass(frozen=True)
class Known:
    """The reports, and the same leads as a frame that nothing of ours has read."""

    reports: Reports
    frame: Any


def everybody(by: str | None = None, **rest: Any) -> Selection:
    return Selection("default", by=dimension_of(by), **rest)


def document(path: Path) -> dict[str, Any]:
    found = read_yaml(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def with_teams(mapping: dict[str, Any], teams: Any) -> Json:
    """The mapping, with the agents' managers and offices as attributes of each deal."""
    for event in mapping["events"].values():
        for name, column in (("manager", "manager"), ("region", "regional_office")):
            who = dict(zip(teams.sales_agent, teams[column], strict=True))
            event["attributes"][name] = {"column": "sales_agent", "map": who, "others": "refuse"}
    return mapping


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def maven(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Known]:
    """Sales opportunities as of the day after the last that closed."""
    path, teams = dataset("maven_crm_sales_pipeline.csv"), pd.read_csv(dataset("maven_crm_sales_teams.csv"))
    directory = tmp_path_factory.mktemp("maven")
    async with (
        postgres_server.fresh_url() as url,
        imported(url, datetime(2018, 1, 1, tzinfo=UTC), directory) as everything,
    ):
        await everything.publish(document(PIPELINES / "maven_crm.yaml"))
        await everything.run(path, with_teams(document(MAPPINGS / "maven_crm_pipeline.yaml"), teams))
        frame = pd.read_csv(path).merge(teams, on="sales_agent")
        frame["product"] = frame["product"].replace({"GTXPro": "GTX Pro"})
        frame["engaged"], frame["closed"] = pd.to_datetime(frame.engage_date), pd.to_datetime(frame.close_date)
        # Without a date there is no event: prospects are no leads yet.
        yield Known(everything.reports, frame[frame.engaged.notna()].copy())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def olist(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Known]:
    """Leads of a marketplace and the deals that were won, the leads imported first."""
    leads, deals = dataset("olist_mql_dev.csv"), dataset("olist_closed_deals_dev.csv")
    directory = tmp_path_factory.mktemp("olist")
    async with (
        postgres_server.fresh_url() as url,
        imported(url, datetime(2019, 1, 1, tzinfo=UTC), directory) as everything,
    ):
        await everything.publish(document(PIPELINES / "olist.yaml"))
        await everything.run(leads, document(MAPPINGS / "olist_mql.yaml"))
        await everything.run(deals, document(MAPPINGS / "olist_closed_deals.yaml"))
        frame = pd.read_csv(leads).merge(pd.read_csv(deals), on="mql_id", how="left")
        frame["origin"] = frame.origin.where(frame.origin != "unknown")
        contact = pd.to_datetime(frame.first_contact_date).dt.tz_localize(
            "America/Sao_Paulo", nonexistent="shift_forward"
        )
        frame["contact"] = contact.dt.tz_convert("UTC")
        frame["won_at"] = pd.to_datetime(frame.won_date).dt.tz_localize("UTC")
        yield Known(everything.reports, frame)


async def test_olist_conversion_by_origin_is_what_pandas_counts(olist: Known) -> None:
    report = await olist.reports.funnel(everybody("attributes.origin"))

    counted = olist.frame.groupby("origin", dropna=False).won_at.agg(["size", "count"])
    expected = {None if pd.isna(name) else name: (row["size"], row["count"]) for name, row in counted.iterrows()}
    found = {group.group: group.stages[0].to_won for group in report.groups}
    assert {name: (rate.of, rate.count) for name, rate in found.items() if rate} == expected
    assert (report.leads, report.unplaced, report.precision) == (len(olist.frame), 0, 0.0)


@pytest.mark.parametrize("cohort", ["week", "month"])
async def test_olist_conversion_and_days_by_cohort_are_what_pandas_counts(olist: Known, cohort: Any) -> None:
    report = await olist.reports.funnel(everybody(), cohort=cohort)

    frame = olist.frame.copy()
    frame["cohort"] = frame.contact.dt.tz_localize(None).dt.to_period("W" if cohort == "week" else "M").dt.start_time
    # A deal that was won before the first contact is won on first contact.
    frame["days"] = ((frame.won_at - frame.contact) / DAY).clip(lower=0)
    assert [group.cohort for group in report.groups] == sorted(found.date() for found in frame.cohort.unique())
    for group in report.groups:
        rows = frame[frame.cohort.dt.date == group.cohort]
        stage = group.stages[0]
        assert (group.leads, stage.entered, stage.standing) == (len(rows), len(rows), rows.won_at.isna().sum())
        assert stage.to_won is not None
        assert (stage.to_won.count, stage.to_won.of) == (rows.won_at.notna().sum(), len(rows))
        days = rows.days.dropna()
        assert stage.days.count == len(days)
        if len(days):
            quantiles = days.quantile([0.5, 0.9]).tolist()
            assert [stage.days.median, stage.days.p90] == pytest.approx(quantiles, abs=1e-5)


async def test_olist_origins_differ_beyond_noise(olist: Known) -> None:
    report = await olist.reports.sources(everybody("attributes.origin"))

    (by_origin,) = report.touches
    rates = {group.group: group.won.rate for group in by_origin.groups}
    verdicts = {item.group: item.verdict for item in by_origin.won.contrasts}
    frame = olist.frame.assign(won=olist.frame.won_at.notna())
    for name, rate in frame.groupby("origin").won.mean().items():
        assert rates[name] == pytest.approx(rate, abs=1e-6)
    assert by_origin.won.verdict == "differ"
    assert verdicts["email"] == "below"
    assert verdicts["display"] == "within_noise"


async def test_olist_leads_of_some_days_are_those_of_pandas(olist: Known) -> None:
    report = await olist.reports.funnel(everybody(since=date(2018, 1, 10), until=date(2018, 2, 1)))

    days = olist.frame.contact.dt.tz_localize(None)
    chosen = olist.frame[(days >= "2018-01-10") & (days < "2018-02-01")]
    (group,) = report.groups
    assert (report.leads, group.stages[1].entered) == (len(chosen), chosen.won_at.notna().sum())


def expected_velocity(frame: Any, column: str) -> dict[str, tuple[int, int, int, float, float, float, float]]:
    """By group: open, won, lost, and of won deals mean value, mean and median cycle and its p90, in days."""
    found = {}
    for name, rows in frame.groupby(column):
        won = rows[rows.deal_stage == "Won"]
        days = (won.closed - won.engaged) / DAY
        counts = rows.deal_stage.value_counts()
        numbers = (won.close_value.mean(), days.mean(), days.median(), days.quantile(0.9))
        found[name] = (counts.get("Engaging", 0), counts["Won"], counts["Lost"], *numbers)
    return found


def found_velocity(report: VelocityReport) -> dict[str | None, tuple[Any, ...]]:
    return {
        group.group: (
            group.open,
            group.won,
            group.lost,
            group.value.mean,
            group.cycle_days.mean,
            group.cycle_spread.median,
            group.cycle_spread.p90,
        )
        for group in report.groups
    }


@pytest.mark.parametrize(
    ("by", "column"),
    [
        ("owner", "sales_agent"),
        ("attributes.product", "product"),
        ("attributes.manager", "manager"),
        ("attributes.region", "regional_office"),
    ],
)
async def test_maven_win_rate_value_and_cycle_are_what_pandas_counts(maven: Known, by: str, column: str) -> None:
    report = await maven.reports.velocity(everybody(by))

    expected = expected_velocity(maven.frame, column)
    found = found_velocity(report)
    assert found.keys() == expected.keys()
    for name, numbers in expected.items():
        assert found[name][:3] == numbers[:3]
        assert found[name][3:] == pytest.approx(numbers[3:], abs=1e-5)
    for group in report.groups:
        waiting, won, lost, value, cycle, *_ = expected[str(group.group)]
        assert group.per_day == pytest.approx(waiting * won / (won + lost) * value / cycle, rel=1e-6)


async def test_maven_as_a_whole_is_won_in_63_of_100(maven: Known) -> None:
    report = await maven.reports.velocity(everybody())

    (all_deals,) = report.groups
    assert (all_deals.won, all_deals.win_rate.of, all_deals.open) == (4238, 6711, 1589)
    assert all_deals.win_rate.rate == pytest.approx(0.6315, abs=1e-4)
    assert all_deals.win_rate.low is not None
    assert all_deals.win_rate.high is not None
    assert all_deals.win_rate.low < 0.6315 < all_deals.win_rate.high


async def test_maven_agents_differ_by_noise_only_and_the_report_says_so(maven: Known) -> None:
    report = await maven.reports.velocity(everybody("owner"))

    comparison = report.comparison
    assert isinstance(comparison, Comparison)
    assert (comparison.test, comparison.degrees, comparison.verdict) == ("chi_square", 29, "within_noise")
    assert comparison.p_value == pytest.approx(0.26, abs=0.005)
    assert "within noise" in comparison.words
    assert {item.verdict for item in comparison.contrasts} == {"within_noise"}


async def test_maven_stalled_deals_are_what_pandas_counts(maven: Known) -> None:
    report, more = await maven.reports.stalled(everybody("attributes.manager"), limit=100)

    frame, now = maven.frame, pd.Timestamp("2018-01-01")
    waiting = frame[frame.deal_stage == "Engaging"].copy()
    waiting["age"] = (now - waiting.engaged) / DAY
    overdue = waiting[waiting.age >= 90]
    longest = ((frame.closed - frame.engaged) / DAY).max()
    (stage,) = report.stages
    assert (report.open, report.overdue, report.bottleneck) == (len(waiting), len(overdue), "engaging")
    assert stage.overdue_days == pytest.approx((overdue.age - 90).sum())
    assert {item.group: item.overdue.count for item in report.groups} == overdue.groupby("manager").size().to_dict()
    assert (report.oldest_closed_days, report.ancient) == (longest, (waiting.age > longest).sum())
    listed = [lead.days_beyond_due for lead in report.leads]
    assert listed == pytest.approx(sorted(overdue.age - 90, reverse=True)[:100])
    assert (more is None) == (len(overdue) <= 100)


async def test_maven_deals_without_an_account_are_a_group_of_their_own(maven: Known) -> None:
    report = await maven.reports.funnel(everybody("attributes.account"))

    expected = maven.frame.account.isna().sum()
    assert {group.group: group.leads for group in report.groups}[None] == expected
