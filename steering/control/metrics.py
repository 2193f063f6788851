"""Counters of all workers as Prometheus metrics."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from steering.control.endpoints import ENDPOINT_GAUGES
from steering.control.points import GAUGES
from steering.control.status import Status

_CURRENT = GAUGES | ENDPOINT_GAUGES


class _Counters(Collector):
    def __init__(self, counters: Callable[[], Mapping[str, int]], status: Status) -> None:
        self._counters = counters
        self._status = status

    def collect(self) -> Iterable[Metric]:
        counted = CounterMetricFamily("steering_events", "What the points did", labels=["point", "what"])
        current = GaugeMetricFamily("steering_current", "What is open now", labels=["point", "what"])
        for key, number in sorted(self._counters().items()):
            point, _, what = key.partition(":")
            (current if what in _CURRENT else counted).add_metric([point, what], number)
        yield counted
        yield current
        status = self._status
        yield GaugeMetricFamily("steering_degraded", "1 while a bad rules file is set aside", int(status.state != "ok"))
        yield GaugeMetricFamily("steering_workers", "Workers that enforce the policy in force", status.workers)
        yield CounterMetricFamily("steering_worker_restarts", "Workers that ended unasked", status.restarts)
        yield CounterMetricFamily("steering_reloads", "Policies put in force since the start", status.reloads)
        yield GaugeMetricFamily("steering_policy_since_seconds", "When the policy came into force", status.since)


def metrics_of(counters: Callable[[], Mapping[str, int]], status: Status) -> Callable[[], bytes]:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Counters(counters, status))
    return lambda: generate_latest(registry)
