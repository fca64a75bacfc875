"""What the machine did while it trained: MLflow's own system metrics, on their way through the journal.

MLflow's monitor would write to the server by itself: a server that is down would lose its points, and a resumed run
would begin its steps anew. So only its collectors are used. ``MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL`` sets the
seconds between two samples.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from faceseg.tracking.journal import Journal
from faceseg.tracking.store import importing

INTERVAL_S = 10.0


class SystemMetrics(threading.Thread):
    """Samples until told to stop; a daemon, so that it never keeps the process alive."""

    def __init__(self, journal: Journal, first_step: int, sampled: Callable[[], None]) -> None:
        """``first_step``: how many samples the journal has; ``sampled``: called after each."""
        super().__init__(name="system-metrics", daemon=True)
        self._journal = journal
        self._step = first_step
        self._sampled = sampled
        self._interval = float(os.environ.get("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL") or INTERVAL_S)
        self._over = threading.Event()

    def run(self) -> None:
        collectors = _collectors()
        while not self._over.wait(self._interval):
            self._sample(collectors)
        # The last part of an interval, so that a training of a few seconds has a point too.
        self._sample(collectors)

    def stop(self) -> None:
        """End soon, with a last sample; a collector that hangs (a GPU driver, say) is left behind."""
        self._over.set()
        self.join(timeout=2.0)

    def _sample(self, collectors: list[Any]) -> None:
        values: dict[str, float] = {}
        for collector in collectors:
            collector.collect_metrics()
            values |= collector.aggregate_metrics()
            collector.clear_metrics()
        self._journal.append("system", step=self._step, values=values)
        self._step += 1
        self._sampled()


def _collectors() -> list[Any]:
    """Of CPU, disk and network, and of the GPU where MLflow finds one."""
    with importing:
        from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
        from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
        from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
        from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor
    found: list[Any] = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    # No NVIDIA GPU, no driver, or no library to ask it: whatever that raises.
    with suppress(Exception):
        found.append(GPUMonitor())
    for collector in found:
        # A processor's use is that since the last look.
        collector.collect_metrics()
        collector.clear_metrics()
    return found
