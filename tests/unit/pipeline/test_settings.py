"""Settings that contradict each other are refused at the start."""

import pytest

from services.pipeline.settings import PipelineSettings
from shared.errors import Misconfigured


def test_a_lease_that_ends_during_an_attempt_is_refused() -> None:
    with pytest.raises(Misconfigured, match="webhook_lease_seconds"):
        PipelineSettings(webhook_timeout_seconds=30, webhook_lease_seconds=30)


def test_the_guard_of_addresses_is_on_by_default() -> None:
    settings = PipelineSettings()

    assert not settings.webhook_allow_private_addresses
    assert not settings.webhook_allow_http
