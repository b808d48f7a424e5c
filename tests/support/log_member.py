"""A member of a group in a process of its own, so that tests can kill it or stop it for a while.

Reads commands from stdin, one a line, and answers each with one line of JSON: `poll N` with the values of
the records, `commit` with "committed" or "rejected".
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from shared.errors import CommitRejected
from shared.log.protocol import Consumer, ReceivedRecord
from tests.support.log_engines import LogEngine, opened_log

_ANSWER_SECONDS = 20.0
_ONE_POLL_SECONDS = 0.2


class MemberProcess:
    """The test's end of the process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def polled(self, count: int) -> list[str]:
        """The values of the next records, as soon as there are `count`."""
        values: list[str] = await self._ask(f"poll {count}")
        return values

    async def commit(self) -> str:
        """Commit what was polled: "committed" or "rejected"."""
        return str(await self._ask("commit"))

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def _ask(self, command: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\n".encode())
        async with asyncio.timeout(_ANSWER_SECONDS):
            answer = await self._process.stdout.readline()
        assert answer, f"the member process died at {command!r}"
        return json.loads(answer)  # noqa: TID251 - our own line


@asynccontextmanager
async def member_process(engine: LogEngine, topic: str, group: str, member: str) -> AsyncIterator[MemberProcess]:
    arguments = [engine.name, engine.address, str(engine.session_timeout_seconds), topic, group, member]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.log_member",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    member_of_test = MemberProcess(process)
    try:
        yield member_of_test
    finally:
        await member_of_test.kill()


async def _serve(name: str, address: str, session: str, *reading: str) -> None:
    topic, group, member = reading
    async with (
        opened_log(name, address, session_timeout_seconds=float(session)) as log,
        log.consume([topic], group=group, member=member) as consumer,
    ):
        records: list[ReceivedRecord] = []
        while command := await asyncio.to_thread(sys.stdin.readline):
            answer: object
            if command.startswith("poll"):
                records = await _polled(consumer, int(command.split()[1]))
                answer = [record.value.decode() for record in records]
            else:
                answer = await _committed(consumer, records)
            print(json.dumps(answer), flush=True)  # noqa: T201 - the answer


async def _polled(consumer: Consumer, count: int) -> list[ReceivedRecord]:
    records: list[ReceivedRecord] = []
    while len(records) < count:
        records += await consumer.poll(max_records=count - len(records), timeout_seconds=_ONE_POLL_SECONDS)
    return records


async def _committed(consumer: Consumer, records: list[ReceivedRecord]) -> str:
    try:
        await consumer.commit({record.partition: record.offset + 1 for record in records})
    except CommitRejected:
        return "rejected"
    return "committed"


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
    os._exit(0)
