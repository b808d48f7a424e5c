"""TLS under the original name, though the connection goes to a checked address."""

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.pipeline.delivery.address import AddressGuard
from services.pipeline.delivery.sender import Answer, Sender
from tests.support.receiver import receiving

NAME = "crm.example.com"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate that NAME has signed itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path / "certificate.pem"
    path.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return path


async def sent_to(name: str, certificate: Path, *, trusted: bool = True) -> tuple[Answer, list[str]]:
    """What became of a POST to `name`, which resolves to this machine, and the Host headers that arrived."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate)
    trust = ssl.create_default_context(cafile=str(certificate)) if trusted else None
    sender = Sender(AddressGuard(allow_private=True, resolve=resolve), timeout_seconds=10, connections=1, trust=trust)
    async with receiving(tls=server) as receiver:
        answer = await sender.send(f"https://{name}:{receiver.port}/hook", {}, b"{}")
        await sender.close()
    return answer, [request.headers["host"].partition(":")[0] for request in receiver.requests]


async def test_a_certificate_of_the_name_in_the_url_is_good(certificate: Path) -> None:
    answer, hosts = await sent_to(NAME, certificate)

    assert (answer.status, hosts) == (200, [NAME])


async def test_a_certificate_of_another_name_is_refused(certificate: Path) -> None:
    answer, hosts = await sent_to("other.example.com", certificate)

    assert (answer.status, answer.error, hosts) == (None, "ConnectError", [])


async def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: Path) -> None:
    answer, hosts = await sent_to(NAME, certificate, trusted=False)

    assert (answer.status, answer.error, hosts) == (None, "ConnectError", [])


async def answer_of(response: bytes) -> Answer:
    """What becomes of a POST to a server that says `response` and then nothing more, and does not hang up."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(response)
            await reader.read()
        writer.transport.abort()
        ended.set()

    ended = asyncio.Event()
    sender = Sender(AddressGuard(allow_private=True, allow_http=True), timeout_seconds=0.5, connections=1)
    async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
        answer = await sender.send(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", {}, b"")
        await sender.close()
        await ended.wait()
    return answer


async def test_who_has_given_a_status_has_answered_even_if_the_rest_never_comes() -> None:
    answer = await answer_of(b"HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 100\r\n\r\nbe patient")

    assert (answer.status, answer.error, answer.retry_after) == (503, None, "7")
    assert answer.excerpt == "be patient"


async def test_who_gives_no_status_in_time_has_not_answered() -> None:
    for response in (b"", b"HTTP/1.1 200 OK\r\nx-slow: ", b"HTTP/1.1 100 Continue\r\n\r\n"):
        answer = await answer_of(response)
        assert (answer.status, answer.error) == (None, "timeout"), response


async def test_what_is_no_http_is_no_answer() -> None:
    answer = await answer_of(b"220 smtp.example.com ESMTP\r\n\r\n")

    assert (answer.status, answer.error) == (None, "RemoteProtocolError")
