"""Listeners of a broker that ask who calls: certificates of an authority of our own, and users with passwords."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.kafka_broker.broker import free_ports

USER, PASSWORD = "leadflow", "correct horse"

# The broker's own traffic stays on the listener without a lock.
_PROPERTIES = """\
inter.broker.listener.name=PLAINTEXT
ssl.keystore.type=PEM
ssl.keystore.location={broker}
ssl.truststore.type=PEM
ssl.truststore.location={authority}
listener.name.ssl.ssl.client.auth=required
listener.name.sasl_ssl.ssl.client.auth=none
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
"""


@dataclass(frozen=True, slots=True)
class Authority:
    """Who vouches for broker and clients; `certificate` is what both sides trust."""

    directory: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def file(self) -> Path:
        return self.directory / "authority.pem"

    def issued(self, name: str) -> Path:
        """A file with a key and a certificate that is good for 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        certificate = (
            _unsigned(name, self.certificate.subject, key)
            .add_extension(alternative, critical=False)
            .sign(self.key, hashes.SHA256())
        )
        path = self.directory / f"{name}.pem"
        path.write_bytes(_pem_of(key) + certificate.public_bytes(serialization.Encoding.PEM))
        return path


def an_authority(directory: Path, name: str = "authority") -> Authority:
    directory.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _unsigned(name, _named(name), key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / "authority.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Authority(directory, key, certificate)


class Locks:
    """Two listeners more: `tls`, for clients with a certificate, and `sasl`, TLS for those with a password."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        tls, sasl = free_ports(2)
        self.tls, self.sasl = f"127.0.0.1:{tls}", f"127.0.0.1:{sasl}"

    def added_to(self, properties: str) -> str:
        more = f",SSL://{self.tls},SASL_SSL://{self.sasl}"
        lines = [line + _ADDED.get(line.partition("=")[0], "").format(more=more) for line in properties.splitlines()]
        broker = self._authority.issued("broker")
        return "\n".join([*lines, _PROPERTIES.format(broker=broker, authority=self._authority.file)])

    def users(self) -> tuple[str, ...]:
        return ("--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]")


_ADDED = {
    "listeners": "{more}",
    "advertised.listeners": "{more}",
    "listener.security.protocol.map": ",SSL:SSL,SASL_SSL:SASL_SSL",
}


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _unsigned(name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )


def _pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
