"""What the demo must remember between two runs, in its data directory: which story, until when, which keys.

A real installation keeps such secrets with the platforms that sign; here one file plays all of them.
"""

import base64
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from services.demo.diary import Channel
from services.demo.webhooks import SOURCES, SigningKeys
from shared.errors import Misconfigured

FILE_NAME: Final = "demo.json"


class Installation(BaseModel):
    """The demo of one data directory. `until` is when its first run began: the story ends there for ever."""

    model_config = ConfigDict(frozen=True)

    seed: int
    until: AwareDatetime
    api_key: str
    secrets: Mapping[Channel, str]

    @property
    def keys(self) -> SigningKeys:
        """What the platforms and the company sign with."""
        return SigningKeys(self.secrets, self.api_key)

    def source_secret(self, channel: Channel) -> str:
        """What leadflow is told of a source's secret: of SendGrid's, the public half."""
        secret = self.secrets[channel]
        return public_half(secret) if channel is Channel.MAIL else secret


def installed(data_dir: Path) -> Installation | None:
    """The demo that lives in `data_dir`, if one does. Raises Misconfigured when its file cannot be read."""
    path = data_dir / FILE_NAME
    if not path.exists():
        return None
    try:
        return Installation.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise Misconfigured(f"{path} is damaged: start over with --fresh") from error


def install(data_dir: Path, *, seed: int, now: datetime, api_key: str) -> Installation:
    """A new demo, written down before it begins, readable by nobody else."""
    installation = Installation(seed=seed, until=now.replace(microsecond=0), api_key=api_key, secrets=new_secrets())
    path = data_dir / FILE_NAME
    path.touch(mode=0o600)
    path.write_text(installation.model_dump_json(indent=2), encoding="utf-8")
    return installation


def forgers_keys() -> SigningKeys:
    """The keys of somebody who has none of the right ones."""
    return SigningKeys(new_secrets(), api_key="lf_live_" + "0" * 16 + "_" + "0" * 64 + "_" + "0" * 8)


def new_secrets() -> dict[Channel, str]:
    """A secret for every source, in the form in which its platform makes them."""
    return {channel: _MAKERS.get(channel, _plain)() for channel in SOURCES}


def _plain() -> str:
    return secrets.token_urlsafe(32)


def _standard() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def _private_half() -> str:
    key = generate_private_key(SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_half(pem: str) -> str:
    """What SendGrid shows its customers of a private key: the public one, as base64 of DER."""
    key = load_pem_private_key(pem.encode(), password=None)
    assert isinstance(key, EllipticCurvePrivateKey)
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(public).decode()


_MAKERS: Final[Mapping[Channel, Callable[[], str]]] = {Channel.MAIL: _private_half, Channel.PRODUCT: _standard}
