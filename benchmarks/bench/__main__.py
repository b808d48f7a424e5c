"""All figures: prints the table, writes JSON, and exits with 1 when a floor is missed.

    python -m benchmarks.bench [--quick] [--json FILE]

It runs against a PostgreSQL of its own and the embedded log, on a quiet machine in less than ten minutes.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench.deliveries import measure_deliveries
from benchmarks.bench.figures import Measured
from benchmarks.bench.ingest import measure_ingest
from benchmarks.bench.latency import measure_latency
from benchmarks.bench.machine import machine_card
from benchmarks.bench.memory import measure_memory
from benchmarks.bench.pipeline import measure_pipeline
from benchmarks.bench.processes import Installation, installed
from benchmarks.bench.report import as_json, table
from benchmarks.bench.scorer import Known, measure_scorer
from shared.garbage import collect_seldom


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured. The pipeline has a quarter of the `leads`, no fewer than a `batch` has events."""

    rounds: int
    singles: int
    batches: int
    leads: int
    batch: int
    known: Known
    drained: int
    latency_seconds: float
    messages: int
    memory_batches: int


FULL = Size(
    rounds=7,
    singles=4000,
    batches=60,
    leads=8000,
    batch=1000,
    known=Known(100_000, 10_000_000),
    drained=10_000,
    latency_seconds=20.0,
    messages=2000,
    memory_batches=40,
)
QUICK = Size(
    rounds=3,
    singles=1000,
    batches=20,
    leads=2000,
    batch=500,
    known=Known(50_000, 500_000),
    drained=3000,
    latency_seconds=5.0,
    messages=500,
    memory_batches=20,
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less of everything: to see that it works")
    parser.add_argument("--json", type=Path, help="where to write every round")
    options = parser.parse_args()
    card = machine_card()
    collect_seldom()
    results = asyncio.run(measure(QUICK if options.quick else FULL))
    for name, value in card.items():
        sys.stdout.write(f"{name:22s} {value}\n")
    sys.stdout.write(f"\n{table(results)}\n")
    if options.json:
        options.json.write_text(as_json(card, results) + "\n")
    missed = [result.figure.name for result in results if result.verdict == "MISSED"]
    if missed:
        sys.stderr.write(f"\nfloors missed: {'; '.join(missed)}\n")
    return 1 if missed else 0


async def measure(size: Size) -> Sequence[Measured]:
    """Every figure; each part on a PostgreSQL of its own, so that none has to clear up after another."""
    async with _fresh() as installation:
        ingest = await measure_ingest(installation, rounds=size.rounds, singles=size.singles, batches=size.batches)
    async with _fresh() as installation:
        scorer = await measure_scorer(
            installation, leads=size.leads, batch=size.batch, rounds=size.rounds, known=size.known
        )
    async with _fresh() as installation:
        latency = await measure_latency(installation, drained=size.drained, seconds=size.latency_seconds)
    async with _fresh() as installation:
        pipeline = await measure_pipeline(installation, leads=size.leads // 4, batch=size.batch, rounds=size.rounds)
    async with _fresh() as installation:
        deliveries = await measure_deliveries(
            installation, rounds=size.rounds, messages=size.messages, leads=size.messages // 3
        )
    async with _fresh() as installation:
        memory = await measure_memory(installation, batches=size.memory_batches)
    return [*ingest, *scorer, latency, *pipeline, *deliveries, *memory]


@asynccontextmanager
async def _fresh() -> AsyncIterator[Installation]:
    with tempfile.TemporaryDirectory() as directory:
        async with installed(Path(directory)) as installation:
            yield installation


if __name__ == "__main__":
    raise SystemExit(main())
