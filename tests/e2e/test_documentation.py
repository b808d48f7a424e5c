"""The documentation's commands, run page by page as they stand there, against a leadflow of the page's own."""

import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from services.ingest.kinds.registry import KINDS
from tests.support.leadflow_process import Installation, free_port
from tests.support.pages import ROOT, Block, blocks, pages
from tests.support.preloaded_command import serving
from tests.support.waiting import wait_until
from tests.support.webhooks import SENDGRID_PUBLIC_KEY, STANDARD_SECRET

EXAMPLES = ROOT / "deploy" / "examples"
COMMANDS = {"sh", "console"}
# Alerts have to fire before their runbooks can be followed: those tests do both, or parse what is there.
RUN_BY_OTHER_TESTS = ("README.md", "docs/runbooks/")

KEY = 'export LEADFLOW_KEY="$(leadflow keys create --scope admin)"'
PUBLISHED = "leadflow models publish model.yaml\nleadflow pipelines publish pipeline.yaml"
DANA = """\
curl -sS --fail-with-body "$LEADFLOW_URL/v1/events" -H "Authorization: Bearer $LEADFLOW_KEY" \\
  -H 'Content-Type: application/json' -d '[
  {"id": "1", "type": "form_submitted", "lead": {"email": "dana@nordwind.example"}},
  {"id": "2", "type": "page_viewed", "lead": {"email": "dana@nordwind.example"}, "properties": {"path": "/pricing"}}]'
"""
LEAD = """\
LEAD="$(curl -sS --fail-with-body "$LEADFLOW_URL/v1/leads?limit=1" -H "Authorization: Bearer $LEADFLOW_KEY" \\
  | python3 -c 'import json, sys; print(json.load(sys.stdin)["leads"][0]["id"])')"
"""
SOURCES = "".join(block.text + "\n" for block in blocks("docs/connect/README.md") if block.language == "yaml")
SECRETS = f"""\
for kind in {" ".join(KINDS)}; do printf 'a secret:between two systems' > $kind.secret; done
printf %s '{SENDGRID_PUBLIC_KEY}' > sendgrid.pub
printf %s '{STANDARD_SECRET}' > standardwebhooks.secret
cat > sources.yaml <<'END'
{SOURCES}END
"""
VERSIONS = """\
for points in 17 18 19; do
  sed "s/points: 16/points: $points/" model.yaml > other.yaml
  leadflow models publish other.yaml --no-activate
done
"""
# What a page takes for granted: run before its own commands, piece by piece.
GIVEN: Mapping[str, tuple[str, ...]] = {
    "docs/backup.md": (PUBLISHED,),
    "docs/erasure.md": (KEY, PUBLISHED, DANA.replace("dana@nordwind.example", "jane@example.com")),
    "docs/explain.md": (KEY, PUBLISHED, DANA, LEAD),
    "docs/feed.md": (KEY,),
    "docs/import.md": (
        "echo signup_id,created,mail,Seats,Country > signups.csv",
        "echo 1,2026-01-05 09:00,dana@nordwind.example,12,DE >> signups.csv",
    ),
    "docs/models.md": (PUBLISHED, VERSIONS, "cp model.golden.yaml more.yaml"),
    "docs/pipelines.md": (
        KEY,
        PUBLISHED,
        "for name in bant champ; do leadflow pipelines publish deploy/examples/pipelines/$name.yaml; done",
    ),
    "docs/rebuild.md": (PUBLISHED,),
    "docs/reports.md": (KEY, PUBLISHED, DANA),
    "docs/simulate.md": (KEY, PUBLISHED, "leadflow models drafts save spring model.yaml"),
    "docs/subscribe.md": (
        KEY,
        'ID="$(leadflow subscriptions create https://other.example.com/ | grep -oE "[0-9a-f-]{36}" | head -1)"',
    ),
    "docs/tracing.md": (KEY, PUBLISHED, DANA.replace("dana@nordwind.example", "ann@acme.example")),
}
# What these ask, leadflow knows as soon as it runs and has counted what came; it may take a moment.
RUNNING = {"docs/backtest.md", "docs/backup.md", "docs/erasure.md", "docs/operate.md", "docs/tracing.md"}
AWAITED = ("curl", "leadflow models backtest", "leadflow explain", "leadflow leads export")


prepared = pytest.mark.timeout(300)


def commands(page: str) -> list[Block]:
    return [block for block in blocks(page) if block.language in COMMANDS]


def tried(page: str) -> list[Block]:
    return [block for block in commands(page) if block.not_run is None]


PAGES = [page for page in pages() if not page.startswith(RUN_BY_OTHER_TESTS) and tried(page)]


def shell(block: Block) -> str:
    """What a reader would type: of a transcript the lines behind a prompt."""
    if block.language == "sh":
        return block.text
    lines = re.findall(r"^\$ (.*(?:(?<=\\)\n.*)*)$", block.text, re.MULTILINE)
    assert lines, f"{block}: a transcript without a prompt"
    return "\n".join(lines)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with a `leadflow` that answers quickly."""
    directory = tmp_path_factory.mktemp("bin")
    with serving(directory):
        yield directory


class Reader:
    """Somebody who types a page's commands, in one shell after the other, into a directory of their own."""

    def __init__(self, place: Path, environment: Mapping[str, str]) -> None:
        self._place = place
        self._environment = environment

    async def types(self, text: str, where: str) -> None:
        """Run `text` until it succeeds: keys, sources and scores take a moment to be known."""
        failures: list[str] = []

        def succeeded() -> bool:
            done = self._run(text)
            failures.append(f"{where} ended with {done.returncode}:\n{text}\n{done.stdout}\n{done.stderr}")
            return done.returncode == 0

        if not any(command in text for command in AWAITED):
            assert succeeded(), failures[-1]
            return
        try:
            await wait_until(succeeded, where, timeout_seconds=30, every_seconds=0.2)
        except AssertionError:
            raise AssertionError(failures[-1]) from None

    def _run(self, text: str) -> subprocess.CompletedProcess[str]:
        kept = self._place / ".environment"
        before = f"set -a; . {kept}; set +a\n" if kept.exists() else ""
        script = f"set -euo pipefail\n{before}set -a\n{text}\nset +a\nexport -p > {kept}\n"
        return subprocess.run(
            ["bash", "-c", script],
            cwd=self._place,
            env=dict(self._environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


def begun(command: Sequence[str | Path], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(command, env=environment, stdout=output, stderr=output)


@asynccontextmanager
async def running(installation: Installation, programs: Path) -> AsyncIterator[str]:
    """All services, at the URL that is given."""
    port = free_port()
    environment = installation.env(LEADFLOW_PORT=str(port))
    url = f"http://127.0.0.1:{port}"
    log = installation.directory / "up.log"
    process = begun([programs / "leadflow", "up"], environment, log)

    async def ready() -> bool:
        assert process.poll() is None, log.read_text(encoding="utf-8")
        try:
            async with httpx.AsyncClient(trust_env=False) as client:
                return (await client.get(f"{url}/readyz", timeout=5)).status_code == 200
        except httpx.TransportError:
            return False

    try:
        await wait_until(ready, "leadflow is ready", timeout_seconds=60)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def furnish(place: Path, programs: Path) -> None:
    """Make `place` look like a clone in which somebody has begun to write a model."""
    (place / ".venv").mkdir()
    (place / ".venv" / "bin").symlink_to(programs)
    shutil.copytree(EXAMPLES, place / "deploy" / "examples")
    for name in ("model.yaml", "model.golden.yaml", "pipeline.yaml"):
        shutil.copyfile(EXAMPLES / name, place / name)


@pytest_asyncio.fixture
async def reader(
    request: pytest.FixtureRequest, tmp_path: Path, database_url: str, programs: Path
) -> AsyncIterator[Reader]:
    """Somebody with a migrated database, and where the page talks to leadflow over HTTP, one that runs."""
    page: str = request.param
    place = tmp_path / "clone"
    place.mkdir()
    furnish(place, programs)
    installation = Installation(tmp_path, {"LEADFLOW_DATABASE_URL": database_url})
    async with AsyncExitStack() as stack:
        environment = {**installation.env(), "PATH": f"{programs}:{os.environ['PATH']}"}  # noqa: TID251
        if page in RUNNING or any("LEADFLOW_URL" in block.text for block in tried(page)):
            environment["LEADFLOW_URL"] = await stack.enter_async_context(running(installation, programs))
        yield Reader(place, environment)


@prepared
@pytest.mark.postgres
@pytest.mark.parametrize(("reader", "page"), [(page, page) for page in PAGES], ids=PAGES, indirect=["reader"])
async def test_the_commands_of_a_page_do_what_they_are_there_for(reader: Reader, page: str) -> None:
    for given in (SECRETS, *GIVEN[page]) if page in GIVEN else (SECRETS,):
        await reader.types(given, f"what {page} takes for granted")

    for block in tried(page):
        await reader.types(shell(block), str(block))
