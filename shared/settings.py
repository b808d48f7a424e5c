"""What can be tuned, declared once: name, type, unit, default and why one would touch it.

Read once, at the edge, from environment variables; `docs/reference/configuration.md` is generated from
these fields. Each service adds a Settings class of its own with its own prefix.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import Misconfigured

PositiveSeconds = Annotated[float, Field(gt=0)]


class EnvironmentSettings(BaseSettings):
    """Settings from environment variables, and from files where LEADFLOW_SECRETS_DIR names their directory.

    Raises Misconfigured, naming each variable that is wrong.
    """

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**{"_secrets_dir": _secrets_dir(), **given})
        except ValidationError as error:
            prefix = self.model_config.get("env_prefix", "")
            faults = (
                f"{prefix}{'_'.join(map(str, fault['loc']))}".upper() + f": {fault['msg']}"
                for fault in error.errors(include_input=False)
            )
            raise Misconfigured("; ".join(faults)) from None


def _secrets_dir() -> Path | None:
    named = os.environ.get("LEADFLOW_SECRETS_DIR")  # noqa: TID251
    if named is None:
        return None
    if not Path(named).is_dir():
        raise Misconfigured(f"LEADFLOW_SECRETS_DIR: {named} is no directory")
    return Path(named)


def variables_of(kind: type[EnvironmentSettings]) -> frozenset[str]:
    """The names of the environment variables that `kind` reads."""
    prefix = kind.model_config.get("env_prefix", "")
    return frozenset(f"{prefix}{name}".upper() for name in kind.model_fields)


def variables_given() -> frozenset[str]:
    """The names of all variables of the environment that look like leadflow's."""
    return frozenset(name.upper() for name in os.environ if name.upper().startswith("LEADFLOW_"))  # noqa: TID251


class Settings(EnvironmentSettings):
    """What every process of leadflow needs to know: where PostgreSQL, the log and the port are."""

    model_config = SettingsConfigDict(env_prefix="LEADFLOW_", frozen=True, extra="ignore")

    database_url: SecretStr | None = Field(
        None,
        description="PostgreSQL as `postgresql://user:password@host:port/name`. "
        "Unset: leadflow runs the embedded PostgreSQL in the data directory.",
    )
    secrets_dir: Path | None = Field(
        None,
        description="Directory with a file per setting, named like its variable (`LEADFLOW_DATABASE_URL`), so that "
        "no secret stands in the environment. A variable that is set goes before its file.",
    )
    migration_database_url: SecretStr | None = Field(
        None,
        description="The same database as its owner, for `leadflow migrate` alone. Set it there where the login of "
        "`LEADFLOW_DATABASE_URL` is to own nothing. Unset: that login migrates too.",
    )
    metrics_seconds: PositiveSeconds = Field(
        30.0,
        description="How often metrics are taken that ask PostgreSQL or the log: backlogs, dead letters, the balance "
        "of events, leads by stage and band.",
    )
    data_dir: Path = Field(
        Path(".leadflow"),
        description="Directory of the embedded PostgreSQL; everything survives a restart in it.",
    )
    database_pool_size: int = Field(10, ge=2, le=200, description="Connections to PostgreSQL per process.")
    database_timeout_seconds: PositiveSeconds = Field(
        10.0, description="Longest wait for a connection, and longest single statement."
    )
    sealing_keys: SecretStr | None = Field(
        None,
        description="Master keys, base64 of 32 random bytes each, separated by commas: the first seals the data keys "
        "of leads, all of them open. Unset: data keys stand in their table as they are.",
    )
    sealing: bool = Field(
        True,
        description="Whether new content about leads is sealed with their data keys. Off while processes of a "
        "release that cannot open it are still running; what is sealed stays so.",
    )
    kafka_bootstrap_servers: str | None = Field(
        None,
        description="Kafka as `host:port[,host:port]`. Unset: the embedded log, in PostgreSQL.",
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="What the brokers' listener speaks: TLS with SSL, a user name with SASL."
    )
    kafka_ca_file: Path | None = Field(
        None, description="Certificates (PEM) that vouch for the brokers. Unset: those that the machine trusts."
    )
    kafka_certificate_file: Path | None = Field(
        None, description="This client's certificate (PEM, with its chain), for brokers that ask for one."
    )
    kafka_key_file: Path | None = Field(
        None, description="Its private key (PEM), unless that stands in the same file."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="How the user name is proved. PLAIN sends the password: with TLS alone."
    )
    kafka_username: str | None = Field(None, description="User at the brokers, for SASL.")
    kafka_password: SecretStr | None = Field(None, description="That user's password.")
    kafka_replication_factor: int = Field(
        1, ge=1, description="Replicas of topics that leadflow creates; 3 in production."
    )
    kafka_compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = Field(
        "none",
        description="How records are packed on their way to the brokers, and kept there. `zstd` makes them five to "
        "nine times smaller, if all who read the topics know it. What is read may be packed in any of these.",
    )
    kafka_prefix: str = Field(
        "",
        pattern=r"^[a-zA-Z0-9-]*$",
        description="Goes before the names of topics and groups, so that several leadflows can share a cluster.",
    )
    instance: str | None = Field(
        None,
        pattern=r"^[a-zA-Z0-9-]{1,200}$",
        description="Name of this process, unique among those of its service. Set it where a restarted process keeps "
        "its name (a StatefulSet): it then takes its partitions back without a rebalance.",
    )
    log_retention_hours: dict[str, Annotated[float, Field(gt=0)]] = Field(
        {},
        description="How long topics are kept, where it is not as docs/reference/events.md says: JSON, "
        '`{"engagement-events": 24}`. What was told of an erased lead is on topics until then. Kafka: of topics '
        "that leadflow makes.",
    )
    log_publish_timeout_seconds: PositiveSeconds = Field(
        5.0, description="Longest wait for the log to confirm a publish; then the sender gets a 503."
    )
    log_session_timeout_seconds: Annotated[float, Field(ge=2)] = Field(
        30.0, description="A consumer silent for this long loses its partitions to the others."
    )
    key_requests_per_second: Annotated[float, Field(gt=0)] = Field(
        500.0,
        description="Requests that one key may make for ever, per process; else 429. Sending events has a pace of "
        "its own, `LEADFLOW_INGEST_KEY_REQUESTS_PER_SECOND`.",
    )
    key_burst_requests: int = Field(5_000, ge=1, description="Requests that one key may make after a rest.")
    key_dear_requests_per_second: Annotated[float, Field(gt=0)] = Field(
        5.0, description="Replays, simulations and looks at every lead that one key may ask for, for ever; else 429."
    )
    key_dear_burst_requests: int = Field(100, ge=1, description="Those that one key may ask for after a rest.")
    most_keys: int = Field(
        1_000, ge=1, description="API keys of a workspace that still open something; `leadflow keys` makes no more."
    )
    host: str = Field("127.0.0.1", description="Address that the HTTP server binds.")
    port: int = Field(8080, ge=0, le=65535, description="Port that the HTTP server binds; 0 picks a free one.")
    shutdown_timeout_seconds: PositiveSeconds = Field(
        20.0, description="How long a SIGTERM waits for what is in hand before the process ends anyway."
    )
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR; logs are JSON on stderr.")
