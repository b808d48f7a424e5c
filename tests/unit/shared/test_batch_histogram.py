"""A histogram that takes many values at once."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from shared.observability.metrics import BatchHistogram

BUCKETS = (0.1, 1, 10)


def samples_of(histogram: Histogram) -> dict[tuple[str, str], float]:
    (metric,) = histogram.collect()
    return {(sample.name, sample.labels.get("le", "")): sample.value for sample in metric.samples}


@given(st.lists(st.sampled_from([-1.0, 0.0, 0.1, 0.5, 1.0, 2.0, 10.0, 11.0]), max_size=12))
def test_it_says_what_one_says_that_took_them_one_by_one(values: list[float]) -> None:
    at_once = BatchHistogram("at_once", "Values.", buckets=BUCKETS, registry=CollectorRegistry())
    one_by_one = Histogram("at_once", "Values.", buckets=BUCKETS, registry=CollectorRegistry())

    at_once.observe_all(values)
    for value in values:
        one_by_one.observe(value)

    expected, found = samples_of(one_by_one), samples_of(at_once)
    assert {key: round(value, 6) for key, value in found.items()} == {
        key: round(value, 6) for key, value in expected.items()
    }
