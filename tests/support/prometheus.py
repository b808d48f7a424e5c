"""A real Prometheus and a real Alertmanager for tests: Debian's packages, on free ports, ended by pid.

A test that needs them calls `needs_tool` first: it skips with the reason where the package is not installed, and
fails where LEADFLOW_TEST_REQUIRE_TOOLS=1 says that it must be.
"""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.support.leadflow_process import free_port
from tests.support.waiting import wait_until

_READY_SECONDS = 60.0
_STOP_SECONDS = 30.0
_PACKAGES = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
}


def needs_tool(*tools: str) -> None:
    """Skip the test, or fail it where tools are required, unless every one of `tools` is installed."""
    for tool in tools:
        if shutil.which(tool) is None:
            reason = f"{tool} is not installed (Debian's package {_PACKAGES[tool]})"
            if os.environ.get("LEADFLOW_TEST_REQUIRE_TOOLS") == "1":  # noqa: TID251 - tests have no settings
                pytest.fail(reason)
            pytest.skip(reason)


class QueryFailed(AssertionError):
    """Prometheus refused a query, or could not answer it."""


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus, asked through its HTTP API."""

    url: str
    pid: int

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The instant vector of `expression` now. Raises QueryFailed with Prometheus' words."""
        return await self._data("query", {"query": expression}, "result")

    async def query_range(
        self, expression: str, *, start: datetime, end: datetime, step_seconds: float = 1.0
    ) -> list[dict[str, Any]]:
        """The series of `expression` from `start` to `end`, as a panel asks for them. Raises QueryFailed."""
        parameters = {
            "query": expression,
            "start": str(start.timestamp()),
            "end": str(end.timestamp()),
            "step": str(step_seconds),
        }
        return await self._data("query_range", parameters, "result")

    async def targets(self) -> dict[str, str]:
        """What each scraped address is: `up`, `down` or, before its first scrape, `unknown`."""
        active = await self._data("targets", {}, "activeTargets")
        return {target["labels"]["instance"]: target["health"] for target in active}

    async def alerts(self) -> list[dict[str, Any]]:
        """Pending and firing alerts, with their labels, annotations and state."""
        return await self._data("alerts", {}, "alerts")

    async def _data(self, what: str, parameters: Mapping[str, str], key: str) -> list[dict[str, Any]]:
        async with httpx.AsyncClient(base_url=self.url, trust_env=False) as client:
            answer = await client.get(f"/api/v1/{what}", params=dict(parameters), timeout=30)
        body = answer.json()
        if body["status"] != "success":
            raise QueryFailed(f"{parameters}: {body.get('error')}")
        found: list[dict[str, Any]] = body["data"][key]
        return found


@asynccontextmanager
async def running_prometheus(
    directory: Path,
    targets: Mapping[str, Sequence[Mapping[str, str]]],
    *,
    rule_files: Sequence[Path] = (),
    alertmanager_port: int | None = None,
    interval: str = "1s",
) -> AsyncIterator[Prometheus]:
    """Prometheus with its data in `directory`, scraping and evaluating every `interval`.

    `targets` are label sets by job, each with its address as `__address__`. Returns once every target is scraped.
    """
    file = _written(directory / "prometheus.yml", _configuration(targets, rule_files, alertmanager_port, interval))
    port = free_port()
    command = [
        "prometheus",
        f"--config.file={file}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--query.lookback-delta=30s",
        "--log.level=warn",
    ]
    with _process(command, directory / "prometheus.log") as process:
        prometheus = Prometheus(f"http://127.0.0.1:{port}", process.pid)
        await _until_ready(prometheus.url, process, directory / "prometheus.log")

        async def everything_is_scraped() -> bool:
            health = (await prometheus.targets()).values()
            return len(health) == sum(map(len, targets.values())) and set(health) == {"up"}

        await wait_until(everything_is_scraped, "every target is scraped", timeout_seconds=_READY_SECONDS)
        yield prometheus


@dataclass(frozen=True)
class Alertmanager:
    """A running Alertmanager."""

    url: str
    port: int
    pid: int


@asynccontextmanager
async def running_alertmanager(directory: Path, configuration: Mapping[str, Any]) -> AsyncIterator[Alertmanager]:
    """Alertmanager on its own, with its data in `directory`."""
    file = _written(directory / "alertmanager.yml", configuration)
    port = free_port()
    command = [
        "prometheus-alertmanager",
        f"--config.file={file}",
        f"--storage.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with _process(command, directory / "alertmanager.log") as process:
        alertmanager = Alertmanager(f"http://127.0.0.1:{port}", port, process.pid)
        await _until_ready(alertmanager.url, process, directory / "alertmanager.log")
        yield alertmanager


def _written(file: Path, configuration: Mapping[str, Any]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(dict(configuration)), encoding="utf-8")
    return file


def _configuration(
    targets: Mapping[str, Sequence[Mapping[str, str]]],
    rule_files: Sequence[Path],
    alertmanager_port: int | None,
    interval: str,
) -> dict[str, Any]:
    alertmanagers = [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager_port}"]}]}]
    return {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": [str(path) for path in rule_files],
        "alerting": {"alertmanagers": alertmanagers if alertmanager_port else []},
        "scrape_configs": [
            {"job_name": job, "static_configs": [_static(labels) for labels in label_sets]}
            for job, label_sets in targets.items()
        ],
    }


def _static(labels: Mapping[str, str]) -> dict[str, Any]:
    more = {name: value for name, value in labels.items() if name != "__address__"}
    return {"targets": [labels["__address__"]], "labels": more}


@contextmanager
def _process(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`command`, its output in `log`; ended by its pid."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP_SECONDS)


def _text(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")


async def _until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:

        async def is_ready() -> bool:
            assert process.poll() is None, _text(log)
            try:
                return (await client.get("/-/ready", timeout=5)).status_code == 200
            except httpx.TransportError:
                return False

        await wait_until(is_ready, f"{url} is ready", timeout_seconds=_READY_SECONDS)
