"""The receivers of docs/subscribe.md, run as they stand there: they take what leadflow signs, and nothing else."""

import asyncio
import re
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.pipeline.delivery.address import AddressGuard
from services.pipeline.delivery.sender import Sender
from services.pipeline.delivery.signature import secret_text, signed_headers
from tests.support.leadflow_process import free_port
from tests.support.waiting import wait_until

PAGE = Path(__file__).resolve().parents[2] / "docs" / "subscribe.md"
OLD, NEW, OTHER = (secret_text(letter * 32) for letter in (b"o", b"n", b"x"))
BODY = '{"type": "lead.stage_changed", "who": "Zoë"}'.encode()


def written(language: str) -> str:
    """The one block of code in this language."""
    (code,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return str(code)


@asynccontextmanager
async def receiving(command: list[str], **environment: str) -> AsyncIterator[str]:
    """The receiver as a process; yields its URL."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *command, env={"PORT": str(port), **environment}, stderr=asyncio.subprocess.DEVNULL
    )

    async def answers() -> bool:
        assert process.returncode is None, "the receiver has ended"
        try:
            async with httpx.AsyncClient(trust_env=False) as client:
                await client.get(f"http://127.0.0.1:{port}/")
        except httpx.TransportError:
            return False
        return True

    try:
        await wait_until(answers, "the receiver listens", timeout_seconds=30)
        yield f"http://127.0.0.1:{port}/hook"
    finally:
        process.kill()
        await process.wait()


async def statuses(url: str, attempts: Mapping[str, tuple[dict[str, str], bytes]]) -> dict[str, int | None]:
    sender = Sender(AddressGuard(allow_private=True, allow_http=True), timeout_seconds=10, connections=1)
    try:
        return {name: (await sender.send(url, *attempt)).status for name, attempt in attempts.items()}
    finally:
        await sender.close()


@pytest.mark.parametrize(
    ("language", "program", "option"),
    [("python", sys.executable, "-c"), ("js", shutil.which("node"), "-e")],
    ids=["Python", "JavaScript"],
)
async def test_the_documented_receiver_takes_what_is_signed_and_nothing_else(
    language: str, program: str | None, option: str
) -> None:
    if program is None:
        pytest.skip(f"no interpreter of {language} on this machine")
    now = datetime.now(UTC)

    def signed(*secrets: str, at: datetime = now) -> dict[str, Any]:
        return signed_headers("an-id", BODY, at=at, secrets=secrets)

    async with receiving([program, option, written(language)], SECRET=OLD) as url:
        found = await statuses(
            url,
            {
                "signed": (signed(OLD), BODY),
                "signed by two, while secrets rotate": (signed(NEW, OLD), BODY),
                "another secret": (signed(OTHER), BODY),
                "another body": (signed(OLD), BODY + b" "),
                "another id": ({**signed(OLD), "webhook-id": "another"}, BODY),
                "an old attempt": (signed(OLD, at=now - timedelta(minutes=6)), BODY),
                "no signature": ({**signed(OLD), "webhook-signature": ""}, BODY),
            },
        )

    assert found == {
        "signed": 204,
        "signed by two, while secrets rotate": 204,
        "another secret": 401,
        "another body": 401,
        "another id": 401,
        "an old attempt": 401,
        "no signature": 401,
    }
