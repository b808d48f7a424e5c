"""How clients prove themselves to Kafka's brokers, and the brokers to them.

One value for all clients of a process: producer, consumers and administration talk to the same listener.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.errors import Misconfigured
from shared.settings import Settings


@dataclass(frozen=True, slots=True)
class KafkaSecurity:
    """Arguments that every aiokafka client is made with, beside the addresses of its brokers."""

    options: Mapping[str, Any]


PLAINTEXT = KafkaSecurity({"security_protocol": "PLAINTEXT"})


def kafka_security(settings: Settings) -> KafkaSecurity:
    """What `settings` say about it. Raises Misconfigured, naming the variable, for what cannot work together."""
    protocol = settings.kafka_security_protocol
    options: dict[str, Any] = {"security_protocol": protocol}
    if protocol.endswith("SSL"):
        options["ssl_context"] = _tls(settings)
    elif settings.kafka_ca_file or settings.kafka_certificate_file:
        raise Misconfigured(f"LEADFLOW_KAFKA_SECURITY_PROTOCOL is {protocol}, which uses no certificates")
    if protocol.startswith("SASL"):
        options |= _sasl(settings)
    elif settings.kafka_username or settings.kafka_password:
        raise Misconfigured(f"LEADFLOW_KAFKA_SECURITY_PROTOCOL is {protocol}, which sends no user name")
    return KafkaSecurity(options)


def _tls(settings: Settings) -> ssl.SSLContext:
    """Verifies the broker's chain and name; shows a certificate of its own when there is one."""
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise Misconfigured(f"LEADFLOW_KAFKA_CA_FILE: {_reason(error, settings.kafka_ca_file)}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.kafka_certificate_file is None:
        return context
    try:
        context.load_cert_chain(settings.kafka_certificate_file, settings.kafka_key_file)
    except OSError as error:
        reason = _reason(error, settings.kafka_certificate_file)
        raise Misconfigured(f"LEADFLOW_KAFKA_CERTIFICATE_FILE, LEADFLOW_KAFKA_KEY_FILE: {reason}") from None
    return context


def _reason(error: OSError, path: Path | None) -> str:
    return f"{path}: {error.strerror or error}"


def _sasl(settings: Settings) -> dict[str, Any]:
    if not settings.kafka_username or settings.kafka_password is None:
        raise Misconfigured("SASL needs LEADFLOW_KAFKA_USERNAME and LEADFLOW_KAFKA_PASSWORD")
    return {
        "sasl_mechanism": settings.kafka_sasl_mechanism,
        "sasl_plain_username": settings.kafka_username,
        "sasl_plain_password": settings.kafka_password.get_secret_value(),
    }
