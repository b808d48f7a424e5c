"""The gateway of the compose file sends every route to the service that has it."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from services.command.up import BUILDS
from shared.access.keyring import KeyRing
from shared.clock import SystemClock
from shared.db.engine import Database
from shared.log.connect import open_log
from shared.process import create_app
from shared.service import Context
from shared.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
CONFIGURATION = (DEPLOY / "gateway" / "nginx.conf").read_text(encoding="utf-8")
OPERATIONS = {"/livez", "/readyz", "/metrics"}


def service_of(path: str) -> str:
    """Who answers `path`, as nginx reads its map: the first pattern that is found, else the default."""
    table = re.search(r"map \$uri \$service \{(.*?)\n    \}", CONFIGURATION, re.DOTALL)
    assert table is not None
    rows = [line.split() for line in table[1].replace(";", "").strip().splitlines()]
    patterns = {pattern.removeprefix("~"): service for pattern, service in rows if pattern.startswith("~")}
    found = (service for pattern, service in patterns.items() if re.search(pattern, path))
    return next(found, dict(rows)["default"])


@pytest.fixture
async def routes() -> AsyncIterator[dict[str, set[str]]]:
    """The paths of each service; building one opens no connection."""
    settings = Settings()
    database, clock = Database("postgresql://nobody@localhost/nothing"), SystemClock()
    context = Context(settings=settings, database=database, log=open_log(settings, database), clock=clock)
    keys = KeyRing(database, clock)
    yield {
        name: set(create_app([build(context, keys)]).openapi()["paths"]) - OPERATIONS
        for name, build in BUILDS.items()
    }
    await database.close()


async def test_every_route_goes_to_the_service_that_has_it(routes: dict[str, set[str]]) -> None:
    assert all(routes.values())
    for service, paths in routes.items():
        assert {path: service_of(path) for path in paths} == dict.fromkeys(paths, service)


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/v1/events", "ingest"),
        ("/v1/events-of-another-kind", "pipeline"),
        ("/v1/webhooks/hubspot-main", "ingest"),
        ("/v1/models/b2b-default", "scorer"),
        ("/v1/scores/5b0a3a52-6c1e-4d3f-9f0a-2f6f1f4f7a10/forecast", "scorer"),
        ("/v1/leads/v1/models", "pipeline"),
        ("/docs", "pipeline"),
    ],
)
def test_a_path_is_matched_from_its_start_and_by_whole_words(path: str, service: str) -> None:
    assert service_of(path) == service


def paths_of_the_ingress() -> dict[str, str]:
    """Who answers below each path of Kubernetes' Ingress."""
    ingress = yaml.safe_load((DEPLOY / "kubernetes" / "overlays" / "example" / "ingress.yaml").read_text("utf-8"))
    (rule,) = ingress["spec"]["rules"]
    paths = rule["http"]["paths"]
    assert {path["pathType"] for path in paths} == {"Prefix"}
    return {path["path"]: path["backend"]["service"]["name"].removeprefix("leadflow-") for path in paths}


def service_by_ingress(path: str) -> str | None:
    """As Kubernetes reads `Prefix`: whole elements of the path, and the longest one wins."""
    matching = [prefix for prefix in paths_of_the_ingress() if f"{path}/".startswith(f"{prefix}/")]
    return paths_of_the_ingress()[max(matching, key=len)] if matching else None


async def test_the_ingress_of_kubernetes_sends_every_route_as_the_gateway_does(routes: dict[str, set[str]]) -> None:
    for service, paths in routes.items():
        assert {path: service_by_ingress(path) for path in paths} == dict.fromkeys(paths, service)
    assert service_by_ingress("/v1/events-of-another-kind") == "pipeline"


@pytest.mark.parametrize("path", sorted(OPERATIONS))
def test_the_ingress_of_kubernetes_makes_no_operation_public(path: str) -> None:
    assert service_by_ingress(path) is None


def test_metrics_and_readiness_are_not_public() -> None:
    hidden = re.search(r"location ~ (\S+) \{\s+return 404;", CONFIGURATION)

    assert hidden is not None
    assert {path for path in OPERATIONS if re.search(hidden[1], path)} == {"/metrics", "/readyz"}
