"""What of the settings reaches Kafka's clients, and what cannot work together."""

import ssl
from pathlib import Path

import pytest

from shared.errors import Misconfigured
from shared.log.kafka_security import kafka_security
from shared.settings import Settings
from tests.support.kafka_broker.locks import Authority, an_authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return an_authority(tmp_path_factory.mktemp("authority"))


def settings(**given: object) -> Settings:
    return Settings.model_validate(given)


def test_without_a_word_about_it_nothing_is_encrypted_and_nobody_is_asked() -> None:
    assert kafka_security(settings()).options == {"security_protocol": "PLAINTEXT"}


def test_a_user_is_named_by_scram_unless_another_way_is_said() -> None:
    given = settings(kafka_security_protocol="SASL_PLAINTEXT", kafka_username="leadflow", kafka_password="horse")

    assert kafka_security(given).options == {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "leadflow",
        "sasl_plain_password": "horse",
    }


def test_tls_verifies_the_chain_and_the_name(authority: Authority) -> None:
    options = kafka_security(settings(kafka_security_protocol="SSL", kafka_ca_file=authority.file)).options

    context = options["ssl_context"]
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert len(context.get_ca_certs()) == 1


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"kafka_security_protocol": "SASL_SSL"}, "LEADFLOW_KAFKA_USERNAME"),
        ({"kafka_security_protocol": "SASL_SSL", "kafka_username": "leadflow"}, "LEADFLOW_KAFKA_PASSWORD"),
        ({"kafka_security_protocol": "SSL", "kafka_ca_file": "/nowhere.pem"}, "LEADFLOW_KAFKA_CA_FILE: /nowhere.pem"),
        (
            {"kafka_security_protocol": "SSL", "kafka_certificate_file": "/nowhere.pem"},
            "LEADFLOW_KAFKA_CERTIFICATE_FILE, LEADFLOW_KAFKA_KEY_FILE: /nowhere.pem",
        ),
        ({"kafka_ca_file": "/etc/authority.pem"}, "PLAINTEXT, which uses no certificates"),
        ({"kafka_password": "horse"}, "PLAINTEXT, which sends no user name"),
    ],
)
def test_what_cannot_work_is_refused_with_the_name_of_the_variable(given: dict[str, str], named: str) -> None:
    with pytest.raises(Misconfigured, match=named):
        kafka_security(settings(**given))


def test_a_file_that_holds_no_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "authority.pem").write_text("not one")

    with pytest.raises(Misconfigured, match="LEADFLOW_KAFKA_CA_FILE"):
        kafka_security(settings(kafka_security_protocol="SSL", kafka_ca_file=tmp_path / "authority.pem"))
