"""Installations of leadflow, on either log."""

import random
from pathlib import Path

import pytest

from tests.support.leadflow_process import Installation


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def installation(request: pytest.FixtureRequest, tmp_path: Path) -> Installation:
    if request.param == "embedded":
        return Installation(tmp_path)
    bootstrap: str = request.getfixturevalue("kafka_bootstrap")
    prefix = f"e2e-{random.SystemRandom().randrange(10**9)}-"
    return Installation(
        tmp_path,
        {
            "LEADFLOW_KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "LEADFLOW_KAFKA_PREFIX": prefix,
            "LEADFLOW_LOG_SESSION_TIMEOUT_SECONDS": "6",
        },
    )
