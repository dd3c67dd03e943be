"""The metrics as Prometheus reads them: a snapshot of the numbers, written as text in a thread."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from orderintake_server.metrics import TABLE, Histogram, Kind
from orderintake_server.metrics.table import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.core import Metric as Family

    from orderintake_server.http.monitoring.readings import Readings, Values
    from orderintake_server.metrics import Metric


class Exposition:
    """Reads all numbers of the service and of its process, for one scrape after the other."""

    def __init__(self, readings: Readings) -> None:
        """Show these readings, in a registry of their own: others may use the common one."""
        self._readings = readings
        self._one = asyncio.Lock()

    async def scrape(self, accept: str) -> tuple[bytes, str]:
        """Return the text in the form that `accept` asks for, and its content type.

        The numbers are those of one moment. One scrape is made at a time, however many ask.
        """
        async with self._one:
            snapshot = await self._readings.take()
            return await asyncio.to_thread(_written, snapshot, accept)


class _Snapshot(Collector):
    """The numbers of one moment."""

    def __init__(self, values: Mapping[str, Values]) -> None:
        self._values = values

    def collect(self) -> Iterator[Family]:
        """Yield every metric of the table, in its order."""
        for name, metric in TABLE.items():
            yield _family(metric, self._values[name])


def _written(snapshot: Mapping[str, Values], accept: str) -> tuple[bytes, str]:
    registry = CollectorRegistry()
    registry.register(_Snapshot(snapshot))
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def _family(metric: Metric, values: Values) -> Family:
    name, labels = PREFIX + metric.name, metric.labels
    if metric.kind is Kind.HISTOGRAM:
        return _histogram(HistogramMetricFamily(name, metric.help, labels=labels), values)
    kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = kind(name, metric.help, labels=labels)
    for found, value in values.items():
        if not isinstance(value, Histogram):
            family.add_metric(found, value)
    return family


def _histogram(family: HistogramMetricFamily, values: Values) -> HistogramMetricFamily:
    for found, value in values.items():
        if isinstance(value, Histogram):
            family.add_metric(found, value.cumulated(), value.total)
    return family
