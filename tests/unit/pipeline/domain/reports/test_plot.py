"""Pictures of reports: well-formed, the same for the same report, and the one in the documentation is current."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from services.pipeline.domain.reports.estimates import Bin, Spread
from services.pipeline.domain.reports.forecast import (
    ForecastReport,
    OpenDeals,
    forecast_group,
    forecast_groups,
    stage_odds,
)
from services.pipeline.domain.reports.funnel import FunnelReport, PathCount, StayBin, funnel_comparison, funnel_groups
from services.pipeline.domain.reports.plot import plot
from services.pipeline.domain.reports.sources import SourceCount, SourcesReport, touched
from services.pipeline.domain.reports.stalled import OpenCount, StalledReport, stalled_groups
from services.pipeline.domain.reports.tables import Report, csv_rows, tables_of
from services.pipeline.domain.reports.velocity import DealCount, VelocityReport, velocity_comparison, velocity_group
from tests.support.pipeline import NOON, a_pipeline

PICTURE = Path(__file__).parents[5] / "docs" / "pictures" / "report-sources.svg"
STAGES = a_pipeline().stages
HOSTILE = "<script>\"&'</script>"
DAY = 86_400

BY_FIRST_TOUCH = [
    SourceCount("google", 2_400, 700, 310, 96, 160),
    SourceCount("newsletter", 900, 330, 160, 58, 70),
    SourceCount("linkedin", 640, 170, 90, 24, 41),
    SourceCount("fair", 120, 44, 21, 6, 9),
    SourceCount(None, 310, 40, 12, 3, 22),
]
BY_LAST_TOUCH = [
    SourceCount("google", 1_700, 520, 240, 74, 120),
    SourceCount("newsletter", 1_650, 590, 280, 92, 122),
    SourceCount("linkedin", 590, 120, 50, 16, 33),
    SourceCount("fair", 120, 14, 11, 2, 5),
    SourceCount(None, 310, 40, 12, 3, 22),
]


def a_sources_report(*extra: SourceCount) -> SourcesReport:
    first, last = [*BY_FIRST_TOUCH, *extra], [*BY_LAST_TOUCH, *extra]
    touches = (touched("source", "first", first), touched("last_source", "last", last))
    return SourcesReport(NOON, None, sum(item.leads for item in first), touches)


def a_funnel() -> FunnelReport:
    paths = [PathCount((None, HOSTILE), ("new", "engaged", "won"), 3), PathCount((None, None), ("new",), 9)]
    bins = [StayBin((None, HOSTILE), "new", Bin(DAY, DAY, 3))]
    groups = funnel_groups(STAGES, paths, bins)
    return FunnelReport(NOON, "source", None, 12, 0, 0.0, groups, funnel_comparison(STAGES, paths))


def a_velocity() -> VelocityReport:
    counted = [DealCount(HOSTILE, 4, 3, 2, 3, 100.0, 25.0, 2.0 * DAY, 1.0), DealCount(None, 0, 0, 0, 0, *[None] * 4)]
    groups = tuple(velocity_group(item, Spread(item.won, 2.0, 3.0)) for item in counted)
    return VelocityReport(NOON, "owner", None, "EUR", 0, 0.0, groups, velocity_comparison(counted))


def a_stalled() -> StalledReport:
    groups = stalled_groups([OpenCount("mql", HOSTILE, 5, 2, 3.0 * DAY, 0)])
    return StalledReport(NOON, "owner", 5, 2, "mql", groups, groups, None, 0, (), ())


def a_forecast() -> ForecastReport:
    deals = [OpenDeals(HOSTILE, NOON.date(), "proposal", 2, 2, 500.0, 130_000.0, 0.0, 0.0, 0.0, 0.0)]
    odds = stage_odds([("proposal", 0.5)], [])
    return ForecastReport(NOON, "owner", None, forecast_group(deals, odds), forecast_groups(deals, odds), odds)


REPORTS: list[Report] = [
    a_sources_report(SourceCount(HOSTILE, 5, 1, 1, 1, 0)),
    a_funnel(),
    a_velocity(),
    a_stalled(),
    a_forecast(),
]


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: type(report).__name__)
def test_a_picture_is_well_formed_whatever_the_names_are(report: Report) -> None:
    picture = plot(report)

    root = ET.fromstring(picture)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "<script" not in picture
    assert plot(report) == picture


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: type(report).__name__)
def test_a_table_has_a_cell_for_every_column(report: Report) -> None:
    for table in tables_of(report):
        assert {len(row) for row in table.rows} <= {len(table.columns)}
        assert len({len(row) for row in csv_rows(table)}) == 1


def test_the_picture_of_the_documentation_is_what_the_code_draws() -> None:
    """To draw it anew: write `plot(a_sources_report())` there."""
    assert PICTURE.read_text(encoding="utf-8") == plot(a_sources_report())
