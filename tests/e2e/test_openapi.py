"""The API keeps to its OpenAPI document, whatever is thrown at it: schemathesis against a running leadflow."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case

from tests.support.leadflow_process import Installation, Running, free_port

_PACES = ("REQUESTS_PER_SECOND", "BURST_REQUESTS", "DEAR_REQUESTS_PER_SECOND", "DEAR_BURST_REQUESTS")


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    # One key asks for everything here, as fast as it can.
    fast = {f"LEADFLOW_KEY_{name}": "1000000" for name in _PACES}
    return Installation(tmp_path_factory.mktemp("openapi"), fast)


@pytest.fixture(scope="module")
def running(installation: Installation) -> Iterator[Running]:
    process = Running(installation, "up", free_port())
    process.start()
    process.wait_until_ready_in_a_loop_of_its_own()
    yield process
    process.stop()


@pytest.fixture(scope="module")
def key(installation: Installation, running: Running) -> str:
    del running
    return installation.run("keys", "create", "--scope", "admin")


@schemathesis.serializer("application/x-ndjson")
def as_lines(_: Any, value: Any) -> bytes:
    """Lines come as the text they are."""
    return value.encode() if isinstance(value, str) else str(value).encode()


# What the server answers at /openapi.json; docs/generate.py holds the two together.
document = schemathesis.openapi.from_path(Path(__file__).resolve().parents[2] / "docs" / "reference" / "openapi.json")
# A document's meaning has rules that no schema tells (a model's scores, a cursor), and a text none at all (NDJSON):
# 422 and 400 are honest answers to them.
document.config.checks.positive_data_acceptance.expected_statuses = ["2xx", "400", "401", "403", "404", "409", "422"]


# A stream has no end to wait for.
@document.exclude(path="/v1/stream").parametrize()
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_one_that_the_document_promises(case: Case[Any], running: Running, key: str) -> None:
    case.call_and_validate(base_url=running.base_url, headers={"Authorization": f"Bearer {key}"})


def test_the_process_has_survived_it(running: Running) -> None:
    assert httpx.get(f"{running.base_url}/livez", timeout=5).status_code == 200
