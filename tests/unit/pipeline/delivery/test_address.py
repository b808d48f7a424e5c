"""Whom leadflow refuses to talk to."""

from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from services.pipeline.delivery.address import AddressGuard, AddressRefused, is_public

HOSTILE_ADDRESSES = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]
PUBLIC_ADDRESSES = ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]

HOSTILE_URLS = [
    "http://example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "//example.com/",
    "example.com",
    "",
    "https://",
    "https:///path",
    "https://user@example.com/",
    "https://user:password@example.com/",
    "https://example.com@127.0.0.1/",
    "https://example.com:22/",
    "https://example.com:8443/",
    "https://example.com:99999/",
    "https://example.com:abc/",
    "https://example.com\\@127.0.0.1/",
    "https://example.com/#@127.0.0.1",
    "https://exa mple.com/",
    "https://example.com/\r\nHost: evil",
    "https://example.com/\x00",
    "https://localhost/",
    "https://LOCALHOST/",
    "https://localhost./",
    "https://api.localhost/",
    "https://printer.local/",
    "https://metadata.google.internal/",
    "https://router.home.arpa/",
    "https://intranet/",
    "https://127.0.0.1/",
    "https://127.1/",
    "https://0x7f.0.0.1/",
    "https://0x7f000001/",
    "https://2130706433/",
    "https://017700000001/",
    "https://0177.0.0.1/",
    "https://127.0.0.1./",
    "https://0/",
    "https://169.254.169.254/latest/meta-data/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[fe80::1%25eth0]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[fd00:ec2::254]/",
    "https://[::1/",
    "https://xn--0.example.com/",
    "https://-example-.com/",
    "https://" + "a" * 64 + ".com/",
    "https://example.com/" + "a" * 3_000,
    # Schemes and forms that are no https URL.
    "HTTP://example.com/",
    "javascript:alert(1)",
    "data:text/plain,x",
    "dict://example.com:11211/",
    "ldap://example.com/",
    "ws://example.com/",
    "https:example.com",
    "https:/example.com/",
    "https://example.com/\tx",
    "https://example.com/\u2028",
    "https://example.com/\r\n\r\nGET / HTTP/1.1",
    " https://example.com/",
    "https://:443/",
    "https://@example.com/",
    "https://:@example.com/",
    "https://example.com%00.evil.example/",
    "https://example.com%2f@127.0.0.1/",
    "https://example.com:0/",
    "https://example.com:-443/",
    "https://example.com:443:443/",
    "https://example.com:80/",
    "https://example.com:6379/",
    # This machine, by every other name.
    "https://localhost.localdomain/",
    "https://localhost.:443/",
    "https://a.b.localhost./",
    "https://\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54/",  # full-width letters
    "https://api.\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54/",  # full-width letters
    "https://\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3/",  # circled letters
    "https://\uff11\uff12\uff17.0.0.1/",  # full-width digits
    "https://127\u30020\u30020\u30021/",  # full-width dots
    "https://\u2460\u2461\u2466.0.0.1/",  # circled digits
    "https://localhost%2e/",
    "https://0.0.0.0/",
    "https://0x0/",
    "https://00/",
    "https://127.0.1/",
    "https://127.0x0.0.1/",
    "https://0177.1/",
    "https://0x7f.1/",
    "https://4294967295/",
    "https://127.000.000.001/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[0000::0001]/",
    "https://[::127.0.0.1]/",
    "https://[::ffff:0:127.0.0.1]/",
    "https://[::1%25lo]/",
    "https://[::1%lo]/",
    "https://[v1.fe80::a]/",
    # Private and special networks.
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://192.168.0.1/",
    "https://100.64.0.1/",
    "https://169.254.170.2/",
    "https://2852039166/",
    "https://0xa9fea9fe/",
    "https://0251.0376.0251.0376/",
    "https://192.0.0.192/",
    "https://192.0.2.1/",
    "https://198.51.100.1/",
    "https://203.0.113.1/",
    "https://198.18.0.1/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://192.88.99.1/",
    "https://[::ffff:169.254.169.254]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://[64:ff9b:1::1]/",
    "https://[2002:7f00:1::]/",
    "https://[2002:a9fe:a9fe::]/",
    "https://[2001:0:7f00:1::]/",
    "https://[2001:db8::1]/",
    "https://[3fff::1]/",
    "https://[5f00::1]/",
    "https://[100::1]/",
    "https://[fc00::1]/",
    "https://[fe80::1]/",
    "https://[fec0::1]/",
    "https://[ff02::1]/",
    # Names that only a private network has.
    "https://metadata/",
    "https://metadata.google.internal./",
    "https://wiki.corp/",
    "https://nas.lan/",
    "https://box.home/",
    "https://server.intranet/",
    "https://hidden.onion/",
    "https://xn--a/",
    "https://" + ".".join(["a" * 60] * 5) + "/",
]


@pytest.mark.parametrize("address", HOSTILE_ADDRESSES)
def test_an_address_that_is_not_everybodys_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("url", HOSTILE_URLS)
def test_a_hostile_url_is_refused_by_its_looks(url: str) -> None:
    with pytest.raises(AddressRefused):
        AddressGuard().check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/hook?key=1",
        "https://example.com:443/",
        "https://EXAMPLE.com./",
        "https://bücher.example/",
        "https://93.184.216.34/",
        "https://[2606:4700::1111]/hook",
    ],
)
def test_a_public_https_url_is_taken(url: str) -> None:
    AddressGuard().check_url(url)


def test_http_is_taken_only_where_it_is_allowed() -> None:
    AddressGuard(allow_http=True).check_url("http://example.com/")
    with pytest.raises(AddressRefused):
        AddressGuard(allow_http=True).check_url("http://example.com:8080/")


def test_private_addresses_are_taken_only_where_they_are_allowed() -> None:
    AddressGuard(allow_private=True, allow_http=True).check_url("http://127.0.0.1:8080/")
    with pytest.raises(AddressRefused):
        AddressGuard(allow_private=True).check_url("http://127.0.0.1:8080/")


@pytest.mark.parametrize("hostile", HOSTILE_ADDRESSES)
async def test_one_hostile_answer_among_public_ones_is_enough_to_refuse(hostile: str) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["93.184.216.34", hostile]

    with pytest.raises(AddressRefused):
        await AddressGuard(resolve=resolve).addresses("example.com", 443)


async def test_every_public_answer_is_kept_once_in_order() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["93.184.216.34", "2606:4700::1111", "93.184.216.34"]

    assert await AddressGuard(resolve=resolve).addresses("example.com", 443) == ["93.184.216.34", "2606:4700::1111"]


@pytest.mark.parametrize("answers", [[], ["no address"]])
async def test_a_name_without_a_readable_address_is_refused(answers: list[str]) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return answers

    with pytest.raises(AddressRefused):
        await AddressGuard(resolve=resolve).addresses("example.com", 443)


@pytest.mark.parametrize("host", ["0x7f.1", "2130706433", "017700000001", "127.1", "localhost"])
async def test_what_the_machines_resolver_reads_as_home_is_refused_at_the_connection(host: str) -> None:
    with pytest.raises(AddressRefused):
        await AddressGuard().addresses(host, 443)
