"""`make bench` runs against the tables that there are now. How fast it finds them to be is not looked at here."""

from pathlib import Path

from benchmarks.bench.deliveries import measure_deliveries
from benchmarks.bench.latency import measure_latency
from benchmarks.bench.pipeline import measure_pipeline
from benchmarks.bench.processes import Installation
from benchmarks.bench.scorer import Known, measure_scorer
from shared.db.engine import Database


async def test_the_scorer_is_measured_in_rounds_with_both_models_and_their_probes(
    database: Database, tmp_path: Path
) -> None:
    installation = Installation(database.url, database, "no key is needed here", tmp_path)

    measured = await measure_scorer(installation, leads=20, batch=10, rounds=2, known=Known(few=100, many=1000))

    assert [result.figure.unit for result in measured] == ["events/s"] * 5
    assert all(value > 0 for result in measured for value in (*result.values, *result.probes))
    assert [(len(result.values), len(result.probes)) for result in measured] == [(2, 2)] * 5


async def test_latency_is_that_of_every_event_of_the_schedule_and_of_no_other(
    database: Database, tmp_path: Path
) -> None:
    installation = Installation(database.url, database, "no key is needed here", tmp_path)

    measured = await measure_latency(installation, drained=100, seconds=0.5)

    assert measured.figure.unit == "ms"
    assert measured.measure > 0


async def test_the_pipeline_is_measured_in_rounds_beside_the_probe_of_the_scorer(
    database: Database, tmp_path: Path
) -> None:
    installation = Installation(database.url, database, "no key is needed here", tmp_path)

    (measured,) = await measure_pipeline(installation, leads=20, batch=10, rounds=2)

    assert measured.figure.unit == "messages/s"
    assert all(value > 0 for value in (*measured.values, *measured.probes))
    assert len(measured.values) == len(measured.probes) == 2


async def test_deliveries_are_measured_in_rounds_beside_bare_posts(database: Database, tmp_path: Path) -> None:
    installation = Installation(database.url, database, "no key is needed here", tmp_path)

    (measured,) = await measure_deliveries(installation, rounds=2, messages=20, leads=7)

    assert measured.figure.unit == "deliveries/s"
    assert all(value > 0 for value in (*measured.values, *measured.probes))
    assert len(measured.values) == len(measured.probes) == 2
