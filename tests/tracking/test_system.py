"""System metrics are lines of the journal like any other, by MLflow's own names, counted on."""

import time
from pathlib import Path

import pytest

from faceseg.tracking.journal import Journal
from faceseg.tracking.system import SystemMetrics


def test_samples_go_on_counting_until_told_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.01")
    journal, told = Journal(tmp_path / "a.jsonl"), []
    metrics = SystemMetrics(journal, 5, lambda: told.append(len(journal.lines())))
    assert metrics.daemon, "it must not keep the process alive"
    metrics.start()
    for _ in range(1200):
        if len(told) >= 3:
            break
        time.sleep(0.1)
    metrics.stop()
    metrics.join()
    lines = journal.lines()
    assert [line["step"] for line in lines] == list(range(5, 5 + len(lines)))
    assert told == list(range(1, len(lines) + 1))
    values = lines[-1]["values"]
    assert {"cpu_utilization_percentage", "system_memory_usage_megabytes", "disk_usage_percentage"} <= set(values)
    assert 0 <= values["cpu_utilization_percentage"] <= 100
    assert values["system_memory_usage_megabytes"] > 0
