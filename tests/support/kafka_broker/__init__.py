"""A real Kafka broker for the tests: named in the environment, in a container, or on this machine's JVM."""

from tests.support.kafka_broker.broker import (
    KafkaBroker,
    KafkaUnavailable,
    LocalBroker,
    broker_on_this_machine,
    running_broker,
)

__all__ = ["KafkaBroker", "KafkaUnavailable", "LocalBroker", "broker_on_this_machine", "running_broker"]
