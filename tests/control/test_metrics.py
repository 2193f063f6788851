"""Metrics, read by the Prometheus client's own parser."""

from prometheus_client.parser import text_string_to_metric_families

from steering.control.metrics import metrics_of
from steering.control.status import Status


def test_counters_and_gauges() -> None:
    counted = {
        "dns:inspector:default": 3,
        "dns:real:rule 'a\"b\\c\n'": 1,
        "dns:cache:entries": 7,
        "inspector:open": 2,
        "inspector:connections": 1,
    }
    status = Status(state="degraded", workers=2, restarts=1, reloads=4, since=5.0)
    text = metrics_of(lambda: counted, status)().decode()
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
    assert found == {
        ("steering_events_total", "dns", "inspector:default"): 3,
        ("steering_events_total", "dns", "real:rule 'a\"b\\c\n'"): 1,
        ("steering_current", "dns", "cache:entries"): 7,
        ("steering_events_total", "inspector", "open"): 2,
        ("steering_current", "inspector", "connections"): 1,
        ("steering_degraded",): 1,
        ("steering_workers",): 2,
        ("steering_worker_restarts_total",): 1,
        ("steering_reloads_total",): 4,
        ("steering_policy_since_seconds",): 5,
    }
