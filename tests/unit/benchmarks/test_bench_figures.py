from dataclasses import replace

import pytest

from benchmarks.bench.__main__ import FULL, QUICK, Size
from benchmarks.bench.figures import Figure, Measured
from benchmarks.bench.latency import percentile_ms
from benchmarks.bench.report import table

SPEED = Figure("speed", "events/s", floor=0.3, aim=0.5, probe="probe")
DELAY = Figure("delay", "ms", floor=500, aim=100, demand="at most")


@pytest.mark.parametrize(
    ("values", "verdict"),
    [((60.0, 40.0, 90.0), "aim"), ((40.0, 10.0, 45.0), "floor"), ((29.0, 90.0, 20.0), "MISSED")],
)
def test_the_median_of_the_rounds_beside_their_probes_decides(values: tuple[float, ...], verdict: str) -> None:
    measured = Measured(SPEED, values, (100.0, 100.0, 100.0))

    assert measured.verdict == verdict


@pytest.mark.parametrize(("value", "verdict"), [(100.0, "aim"), (500.0, "floor"), (501.0, "MISSED")])
def test_a_delay_must_not_be_longer_than_its_bounds(value: float, verdict: str) -> None:
    assert Measured(DELAY, (value,)).verdict == verdict


def test_nothing_is_demanded_of_a_figure_without_a_floor() -> None:
    measured = Measured(replace(SPEED, floor=None, aim=None), (1.0,), (100.0,))

    assert measured.verdict == "-"
    assert table([measured]).splitlines()[-1] == (
        "| speed | 1.00 [1.00..1.00] events/s | probe: 100 [100..100] | 0.010 [0.010..0.010] | - | - | - |"
    )


def test_a_percentile_is_told_by_the_bound_that_no_event_of_it_exceeds() -> None:
    buckets = [(0.05, 90), (0.1, 99), (0.25, 100), (float("inf"), 100)]

    assert [percentile_ms(buckets, share) for share in (0.9, 0.99, 0.995)] == [50.0, 100.0, 250.0]


@pytest.mark.parametrize("size", [FULL, QUICK], ids=["full", "quick"])
def test_the_probe_finds_as_many_leads_as_a_batch_has_events_in_every_part(size: Size) -> None:
    assert size.leads // 4 >= size.batch
