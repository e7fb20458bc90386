"""The metrics of several processes as one."""

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from gateway.siblings.figures import LEAST, SUMMED, cumulative, merged, metrics, read


def process(*, requests, seconds, connections=0, up=1, lag=0.0):
    """The figures of one process."""
    counter = CounterMetricFamily("cascadia_requests", "Calls.", labels=["model"])
    for model, count in requests.items():
        counter.add_metric([model], count)
    histogram = HistogramMetricFamily("cascadia_wait_seconds", "Waits.", labels=["model"])
    histogram.add_metric(["tiny"], [("1", seconds), ("+Inf", 3)], seconds)
    gauges = [
        GaugeMetricFamily("cascadia_connections", "Open.", value=connections),
        GaugeMetricFamily("cascadia_replica_up", "Up.", value=up),
        GaugeMetricFamily("cascadia_event_loop_lag_seconds", "Lag.", value=lag),
    ]
    return read([counter, histogram, *gauges])


def values(figures):
    return {(each.name, each.labels): each.value for metric in figures for each in metric.samples}


def test_what_counts_is_added_up_also_where_one_process_has_no_such_series():
    found = values(
        merged([process(requests={"tiny": 2}, seconds=1), process(requests={"tiny": 3, "big": 1}, seconds=2)])
    )
    assert found["cascadia_requests_total", (("model", "tiny"),)] == 5
    assert found["cascadia_requests_total", (("model", "big"),)] == 1
    assert found["cascadia_wait_seconds_bucket", (("model", "tiny"), ("le", "1"))] == 3
    assert found["cascadia_wait_seconds_count", (("model", "tiny"),)] == 6
    assert found["cascadia_wait_seconds_sum", (("model", "tiny"),)] == 3


def test_a_gauge_is_the_sum_the_least_or_the_greatest():
    first = process(requests={}, seconds=1, connections=4, up=1, lag=0.5)
    second = process(requests={}, seconds=1, connections=5, up=0, lag=0.1)
    found = values(merged([first, second]))
    assert found["cascadia_connections", ()] == 9
    assert found["cascadia_replica_up", ()] == 0
    assert found["cascadia_event_loop_lag_seconds", ()] == 0.5
    assert not SUMMED & LEAST


def test_only_what_counts_outlives_its_process():
    kept = values(cumulative(process(requests={"tiny": 2}, seconds=1, connections=4)))
    assert {name for name, _ in kept} == {
        "cascadia_requests_total",
        "cascadia_wait_seconds_bucket",
        "cascadia_wait_seconds_count",
        "cascadia_wait_seconds_sum",
    }


def test_figures_become_the_metrics_that_they_were_read_from():
    figures = process(requests={"tiny": 2}, seconds=1)
    assert read(metrics(figures)) == figures
