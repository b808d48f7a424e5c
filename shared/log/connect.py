"""Picks the engine. The only place that knows there are two."""

from shared.db.engine import Database
from shared.errors import Misconfigured
from shared.events.topics import ALL_TOPICS
from shared.log.embedded import EmbeddedLog
from shared.log.kafka import KafkaLog
from shared.log.kafka_security import kafka_security
from shared.log.protocol import Log
from shared.settings import Settings


def open_log(settings: Settings, database: Database | None) -> Log:
    """Kafka when the settings name its servers, else the embedded log in `database`; not started yet.

    Raises Misconfigured when it would be the embedded one and there is no database.
    """
    if settings.kafka_bootstrap_servers:
        return KafkaLog(
            settings.kafka_bootstrap_servers,
            security=kafka_security(settings),
            replication_factor=settings.kafka_replication_factor,
            compression=settings.kafka_compression,
            publish_timeout_seconds=settings.log_publish_timeout_seconds,
            session_timeout_seconds=settings.log_session_timeout_seconds,
            static_members=settings.instance is not None,
            prefix=settings.kafka_prefix,
            retention_seconds=_retention(settings),
        )
    if database is None:
        raise Misconfigured("the embedded log needs a database")
    return EmbeddedLog(
        database,
        publish_timeout_seconds=settings.log_publish_timeout_seconds,
        session_timeout_seconds=settings.log_session_timeout_seconds,
        retention_seconds=_retention(settings),
    )


def _retention(settings: Settings) -> dict[str, int]:
    """How long each topic that is named is kept. Raises Misconfigured for one that there is not."""
    if unknown := settings.log_retention_hours.keys() - {topic.name for topic in ALL_TOPICS}:
        raise Misconfigured(f"LEADFLOW_LOG_RETENTION_HOURS: {min(unknown)[:100]} is no topic of leadflow")
    return {topic: max(1, round(hours * 3600)) for topic, hours in settings.log_retention_hours.items()}
