"""The address guard: nobody makes leadflow talk to what is not public.

The name is resolved once, every answer is checked, and the connection goes to a checked address, so a name
that answers differently a moment later (DNS rebinding) gains nothing. Refusals fail closed.
"""

import asyncio
import socket
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Protocol
from urllib.parse import urlsplit

import httpcore
import idna

from shared.errors import InvalidInput

Address = IPv4Address | IPv6Address

ADDRESS_REFUSED: Final = "address_refused"

_REFUSED = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")
# Reserved for networks of one's own (RFC 6761, 6762, 8375, 9476; ICANN on .internal).
_PRIVATE_NAMES = (
    ".localhost", ".localdomain", ".local", ".internal", ".intranet", ".lan", ".home", ".corp", ".private",
    ".home.arpa", ".alt", ".onion", ".test", ".invalid",
)  # fmt: skip
_LONGEST_URL = 2_048
_HTTPS_PORT = 443
_HTTP_PORT = 80


class AddressRefused(InvalidInput):
    """The URL leads, or may lead, to what is not public."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code=ADDRESS_REFUSED, field="url")


class Resolver(Protocol):
    """Asks for the addresses of a name; raises OSError when there are none."""

    async def __call__(self, host: str, port: int) -> Sequence[str]: ...


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """The machine's own resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[4][0]) for address in found]


def is_public(address: Address) -> bool:
    """Whether `address` is anybody's on the internet. `is_global` alone lets too much through."""
    if isinstance(address, IPv6Address):
        inner = _unwrapped(address)
        if inner is not None:
            return is_public(inner)
        if address not in _GLOBAL_UNICAST:
            return False
    if any(address.version == network.version and address in network for network in _REFUSED):
        return False
    return address.is_global and not address.is_multicast


def _unwrapped(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address inside an IPv6 one: mapped, 6to4, NAT64, compatible. Teredo is refused as a whole."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64 or address in _COMPATIBLE:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return None


class AddressGuard:
    """What a subscription may point at, and where a connection may go."""

    def __init__(
        self, *, allow_private: bool = False, allow_http: bool = False, resolve: Resolver = system_resolver
    ) -> None:
        self._allow_private = allow_private
        self._allow_http = allow_http
        self._resolve = resolve

    def check_url(self, url: str) -> None:
        """Refuse a URL by its looks: scheme, userinfo, host, port, an address that is not public.

        Names are not resolved here: what they lead to is checked at every connection.
        Raises AddressRefused.
        """
        if len(url) > _LONGEST_URL or any(not "!" <= character <= "~" for character in _ascii(url)):
            raise AddressRefused("the URL is too long, or contains spaces or control characters")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise AddressRefused("the URL cannot be read") from error
        self._check_scheme(parts.scheme)
        if parts.username is not None or parts.password is not None or "\\" in url or "#" in url:
            raise AddressRefused("the URL must not hold a user name, a password, a fragment or a backslash")
        if not host:
            raise AddressRefused("the URL has no host")
        self._check_port(parts.scheme, port)
        self._check_host(host)

    async def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of `host`, all of them public. Raises AddressRefused if even one is not, or the port."""
        if not self._allow_private and port not in (_HTTPS_PORT, _HTTP_PORT):
            raise AddressRefused("the URL must use the usual port")
        try:
            found = [ip_address(address.partition("%")[0]) for address in await self._resolve(host, port)]
        except (OSError, ValueError, UnicodeError) as error:
            raise AddressRefused("the host has no address") from error
        if not found:
            raise AddressRefused("the host has no address")
        self._check_public(found)
        return [str(address) for address in dict.fromkeys(found)]

    def _check_scheme(self, scheme: str) -> None:
        if scheme != "https" and not (scheme == "http" and self._allow_http):
            raise AddressRefused("the URL must begin with https://")

    def _check_port(self, scheme: str, port: int | None) -> None:
        if self._allow_private or port is None:
            return
        if port != (_HTTPS_PORT if scheme == "https" else _HTTP_PORT):
            raise AddressRefused("the URL must use the usual port")

    def _check_host(self, host: str) -> None:
        try:
            self._check_public([ip_address(host.partition("%")[0])])
            return
        except ValueError:
            pass
        if self._allow_private:
            return
        try:
            name = idna.encode(host.rstrip("."), uts46=True).decode()
        except idna.IDNAError as error:
            raise AddressRefused("the host is no valid name") from error
        if "." not in name or f".{name}".endswith(_PRIVATE_NAMES):
            raise AddressRefused("the host is no public name")
        # Resolvers read 0x7f.1, 017700000001 and 127.1 as addresses; no public name ends in a number.
        if name.rpartition(".")[2][:1].isdigit():
            raise AddressRefused("the host is an address in disguise")

    def _check_public(self, found: Iterable[Address]) -> None:
        if not self._allow_private and not all(is_public(address) for address in found):
            raise AddressRefused("the host has an address that is not public")


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to checked addresses only; TLS and Host go on under the original name."""

    def __init__(self, guard: AddressGuard, backend: httpcore.AsyncNetworkBackend | None = None) -> None:
        self._guard = guard
        self._backend = backend or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 as httpcore has it
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        failure: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in await self._guard.addresses(host, port):
            try:
                return await self._backend.connect_tcp(
                    address, port, timeout=timeout, local_address=local_address, socket_options=socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        assert failure is not None, "there is at least one address"
        raise failure

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)


def _ascii(url: str) -> str:
    """The URL with letters beyond ASCII taken as one that passes: host names may be international."""
    return "".join("x" if character.isalpha() and not character.isascii() else character for character in url)
