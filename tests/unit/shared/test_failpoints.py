"""Failpoints: inert unless armed, deadly at exactly the pass that is named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.failpoints import EXIT_CODE, FAILPOINTS, reach

ROOT = Path(__file__).parents[3]
PASSES = "from shared.failpoints import reach\nfor n in range(4): reach('published-not-marked'); print(n, flush=True)"


def passes(armed: str | None) -> tuple[int, str]:
    environment = {**os.environ, **({} if armed is None else {"LEADFLOW_FAILPOINT": armed})}  # noqa: TID251
    done = subprocess.run([sys.executable, "-c", PASSES], cwd=ROOT, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("armed", "survived"),
    [("published-not-marked", ""), ("published-not-marked:1", ""), ("published-not-marked:3", "0\n1\n")],
)
def test_the_process_dies_at_the_pass_that_is_armed(armed: str, survived: str) -> None:
    assert passes(armed) == (EXIT_CODE, survived)


@pytest.mark.parametrize("armed", [None, "", "partitions-revoked"])
def test_it_lives_on_when_nothing_or_another_point_is_armed(armed: str | None) -> None:
    assert passes(armed) == (0, "0\n1\n2\n3\n")


def test_no_failpoint_is_armed_here() -> None:
    for point in FAILPOINTS:
        reach(point)


@pytest.mark.parametrize("point", FAILPOINTS)
def test_every_failpoint_is_a_place_in_the_code(point: str) -> None:
    sources = [path.read_text() for folder in ("shared", "services") for path in (ROOT / folder).rglob("*.py")]

    assert any(f'reach("{point}")' in source for source in sources)
