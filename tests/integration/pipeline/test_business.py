"""The census of leads: what is counted, and that it stays a few series whatever people call their stages."""

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from services.pipeline import metrics
from services.pipeline.business import Census, census, show
from shared.db.engine import Database
from shared.db.reach import ALL_WORKSPACES
from shared.observability.metrics import BoundedLabel

pytestmark = pytest.mark.postgres


async def leads_in(database: Database, stages: dict[str | None, int]) -> None:
    async with database.transaction(ALL_WORKSPACES) as connection:
        for stage, number in stages.items():
            await connection.execute(
                text("""
                    INSERT INTO pipeline.hot_row (workspace, lead_id, stage, scores, bands)
                    SELECT 'acme', gen_random_uuid(), :stage, ARRAY['fit', 'total'], ARRAY['A', NULL]
                    FROM generate_series(1, :number)
                """),
                {"stage": stage, "number": number},
            )


async def taken(database: Database) -> Census:
    async with database.transaction(ALL_WORKSPACES) as connection:
        return await census(connection)


async def test_leads_are_counted_by_stage_and_by_the_band_of_each_score(database: Database) -> None:
    await leads_in(database, {"new": 3, "mql": 2, None: 1})

    found = await taken(database)

    assert found.stages == {("new",): 3, ("mql",): 2, ("none",): 1}
    assert found.bands == {("fit", "A"): 6, ("total", "none"): 6}


async def test_of_many_stages_the_smallest_are_one(database: Database) -> None:
    await leads_in(database, {f"stage{number:02}": 50 - number for number in range(40)})

    found = await taken(database)

    assert len(found.stages) == 31
    assert found.stages["other",] == sum(50 - number for number in range(30, 40))


def test_a_stage_that_nobody_is_in_any_more_is_no_series() -> None:
    show(Census({("gone",): 1}, {}, {}))
    show(Census({("new",): 4}, {("fit", "A"): 4}, {"won": 1}))

    assert REGISTRY.get_sample_value("leadflow_pipeline_leads", {"stage": "gone"}) is None
    assert REGISTRY.get_sample_value("leadflow_pipeline_leads", {"stage": "new"}) == 4
    assert REGISTRY.get_sample_value("leadflow_pipeline_deals", {"outcome": "won"}) == 1
    assert REGISTRY.get_sample_value("leadflow_pipeline_deals", {"outcome": "lost"}) == 0


def test_stages_and_thresholds_of_many_workspaces_are_few_series(monkeypatch: pytest.MonkeyPatch) -> None:
    # Labels of its own, so that other tests find theirs not folded.
    monkeypatch.setattr(metrics, "_STAGES", BoundedLabel(20))
    monkeypatch.setattr(metrics, "_THRESHOLDS", BoundedLabel(50))
    before = series()

    for number in range(200):
        metrics.initialise_stages((f"new{number}", f"won{number}"))
        metrics.count_move(f"new{number}", f"won{number}")
        metrics.count_crossing(f"threshold{number}", "entered", "emitted")

    after = series()

    assert after["leadflow_pipeline_stage_changes"] - before["leadflow_pipeline_stage_changes"] <= 22 * 22
    assert after["leadflow_pipeline_threshold_crossings"] - before["leadflow_pipeline_threshold_crossings"] <= 51 * 4


def series() -> dict[str, int]:
    return {family.name: len(family.samples) for family in REGISTRY.collect()}
