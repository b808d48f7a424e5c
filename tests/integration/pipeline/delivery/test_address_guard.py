"""Hostile URLs and names from the subscription to the socket: a real name server, real connections, no way round."""

from collections.abc import Iterable, Sequence

import httpcore
import pytest

from services.pipeline.delivery.address import AddressGuard, AddressRefused, GuardedBackend
from services.pipeline.delivery.sender import Sender
from tests.support.name_server import serving_names
from tests.support.receiver import receiving

PUBLIC = "93.184.216.34"
HOME = "127.0.0.1"


class Doors(httpcore.AsyncNetworkBackend):
    """Where a connection would go: each is written down, and none is opened."""

    def __init__(self) -> None:
        self.knocked_at: list[tuple[str, int]] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 as httpcore has it
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        del timeout, local_address, socket_options
        self.knocked_at.append((host, port))
        raise httpcore.ConnectError


async def connect(guard: AddressGuard, host: str, doors: Doors) -> None:
    backend = GuardedBackend(guard, doors)
    await backend.connect_tcp(host, 443)


async def test_a_name_that_turns_home_between_two_attempts_is_refused_at_the_second() -> None:
    doors = Doors()
    async with serving_names(lambda _, times: [PUBLIC] if times == 1 else [HOME]) as names:
        guard = AddressGuard(resolve=names.resolve)
        guard.check_url("https://rebinding.example.com/")
        with pytest.raises(httpcore.ConnectError):
            await connect(guard, "rebinding.example.com", doors)
        with pytest.raises(AddressRefused):
            await connect(guard, "rebinding.example.com", doors)

    assert doors.knocked_at == [(PUBLIC, 443)]
    assert names.asked == ["rebinding.example.com"] * 2


async def test_a_name_is_asked_once_for_a_connection_and_the_socket_gets_the_checked_address() -> None:
    """A second question, between the check and the connection, would be answered with this machine."""
    doors = Doors()
    async with serving_names(lambda _, times: [PUBLIC, "8.8.8.8"] if times == 1 else [HOME]) as names:
        with pytest.raises(httpcore.ConnectError):
            await connect(AddressGuard(resolve=names.resolve), "two.example.com", doors)

    assert doors.knocked_at == [(PUBLIC, 443), ("8.8.8.8", 443)]
    assert names.asked == ["two.example.com"]


@pytest.mark.parametrize(
    "answers", [[PUBLIC, HOME], [HOME, PUBLIC], ["169.254.169.254"], ["10.0.0.7", "192.168.1.1"]]
)
async def test_one_answer_that_is_not_public_is_enough(answers: list[str]) -> None:
    doors = Doors()
    async with serving_names(lambda *_: answers) as names:
        with pytest.raises(AddressRefused):
            await connect(AddressGuard(resolve=names.resolve), "mixed.example.com", doors)

    assert doors.knocked_at == []


async def test_a_name_that_leads_nowhere_is_refused() -> None:
    async with serving_names(lambda *_: []) as names:
        with pytest.raises(AddressRefused):
            await connect(AddressGuard(resolve=names.resolve), "nowhere.example.com", Doors())


async def test_the_machines_own_resolver_is_guarded_too() -> None:
    doors = Doors()
    for host in ("localhost", "127.1", "0x7f000001", "2130706433", "0"):
        with pytest.raises(AddressRefused):
            await connect(AddressGuard(), host, doors)

    assert doors.knocked_at == []


@pytest.mark.parametrize("port", [0, 22, 25, 6379, 8080, 65535])
async def test_no_port_but_the_usual_ones_is_connected_to(port: int) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return [PUBLIC]

    doors = Doors()
    with pytest.raises(AddressRefused):
        await GuardedBackend(AddressGuard(resolve=resolve), doors).connect_tcp("example.com", port)
    assert doors.knocked_at == []


async def test_a_delivery_to_a_rebinding_name_says_so_and_sends_nothing() -> None:
    async with receiving() as receiver, serving_names(lambda *_: [HOME]) as names:
        sender = Sender(AddressGuard(allow_http=True, resolve=names.resolve), timeout_seconds=5, connections=1)
        answer = await sender.send("http://rebinding.example.com/hook", {}, b"{}")
        await sender.close()

    assert (answer.status, answer.error) == (None, "address_refused")
    assert receiver.requests == []
    assert names.asked == ["rebinding.example.com"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failure_and_nobody_goes_there(status: int) -> None:
    async with receiving() as target, receiving(status, location=target.url) as receiver:
        sender = Sender(AddressGuard(allow_private=True, allow_http=True), timeout_seconds=5, connections=1)
        answer = await sender.send(receiver.url, {}, b"{}")
        await sender.close()

    assert answer.status == status
    assert len(receiver.requests) == 1
    assert target.requests == []
