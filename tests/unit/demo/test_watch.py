"""Reading /metrics."""

import httpx

from services.demo.watch import Reading, read

EXPOSITION = """\
# HELP leadflow_scoring_events_total Events.
# TYPE leadflow_scoring_events_total counter
leadflow_scoring_events_total{outcome="scored"} 7.0
leadflow_scoring_events_total{outcome="duplicate"} 2.0
# HELP leadflow_webhook_deliveries_total Attempts.
# TYPE leadflow_webhook_deliveries_total counter
leadflow_webhook_deliveries_total{outcome="delivered",status_class="2xx"} 4.0
leadflow_webhook_deliveries_total{outcome="retried",status_class="5xx"} 1.0
"""


async def the_reading() -> Reading:
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, text=EXPOSITION))
    async with httpx.AsyncClient(transport=transport, base_url="http://leadflow") as client:
        return await read(client)


async def test_a_counter_is_read_by_any_of_its_labels() -> None:
    reading = await the_reading()

    assert reading.by_label("leadflow_scoring_events_total", "outcome") == {"scored": 7, "duplicate": 2}
    assert reading.by_label("leadflow_webhook_deliveries_total", "status_class") == {"2xx": 4, "5xx": 1}
    assert reading.total("leadflow_scoring_events_total") == 9


async def test_what_was_there_before_does_not_count() -> None:
    reading = await the_reading()
    before = Reading({("leadflow_scoring_events_total", (("outcome", "scored"),)): 5.0})

    assert reading.total("leadflow_scoring_events_total", since=before) == 4


def test_a_metric_that_is_not_there_is_nothing() -> None:
    assert Reading({}).total("leadflow_scoring_events_total") == 0
