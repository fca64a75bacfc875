"""MLflow's pages with the columns and charts that matter already chosen: a saved view of the experiment.

MLflow keeps a saved view as a tag of the experiment, ``mlflow.sharedViewState.<key>``: JSON with a name and the state
of the page, which an address with ``?viewStateShareKey=<key>`` opens (seen with MLflow 3.17; the fields are those that
its own "Save view" writes). Nothing but that tag is written.
"""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import webbrowser
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import requests

HOST = "127.0.0.1"
KEY = "faceseg"
TAG = f"mlflow.sharedViewState.{KEY}"
NAME = "faceseg: scores and curves"
START_SECONDS = 300.0  # MLflow imports half of the Python world before it answers
COLUMNS = (
    "attributes.`Dataset`",
    *(f"metrics.`{name}`" for name in ("test.miou", "test.mf1", "test.pixel_accuracy", "val_iou")),
    *(
        f"params.`{name}`"
        for name in ("model.architecture", "model.backbone", "train.learning_rate", "train.epochs", "train.seed")
    ),
    "attributes.`Duration`",
)
CURVES = {
    "Mean IoU": ("iou", "val_iou"),
    "Mean F1": ("f1", "val_f1"),
    "Loss": ("loss", "val_loss"),
    "Learning rate": ("lr",),
}
CLASS_IOU = "val_iou."
TEST = ("test.miou", "test.iou.")
CHARTED_RUNS = 10
CHARTS_IN_A_ROW = 2


class DashboardError(ValueError):
    """The dashboard cannot be shown."""


def view(metrics: Iterable[str]) -> dict[str, Any]:
    """The page's state: columns, and charts for those of ``metrics`` (all names that the runs have) that matter."""
    known = sorted(metrics)
    curves = {title: [name for name in names if name in known] for title, names in CURVES.items()}
    curves["IoU of each class, validation"] = [name for name in known if name.startswith(CLASS_IOU)]
    bars = [name for name in known if name.startswith(TEST)]
    bars.sort(key=lambda name: (name != TEST[0], name))
    charts = [_line(title, names) for title, names in curves.items() if names]
    charts += [_bar(name) for name in bars]
    sections = {"curves": "Curves, epoch by epoch", "test": "Test split, native size"}
    return {
        "selectedColumns": list(COLUMNS),
        "columnOrder": list(COLUMNS),
        "columnWidths": {},
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "searchFilter": "",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "runsHiddenMode": "FIRST_10_RUNS",
        "compareRunCharts": charts,
        "compareRunSections": [
            {
                "uuid": key,
                "name": title,
                "display": True,
                "isReordered": False,
                "deleted": False,
                "isGenerated": False,
                "columns": CHARTS_IN_A_ROW,
            }
            for key, title in sections.items()
        ],
        "isAccordionReordered": False,
        "hideEmptyCharts": True,
        "useGroupedValuesInCharts": True,
        "groupBy": None,
        "autoRefreshEnabled": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }


def _line(title: str, metrics: Sequence[str]) -> dict[str, Any]:
    return {
        **_card(title, "curves", metrics[0], "LINE"),
        "selectedMetricKeys": list(metrics),
        "xAxisKey": "step",
        "selectedXAxisMetricKey": "",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "range": {},
        "lineSmoothness": 0,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
        "ignoreOutliers": False,
    }


def _bar(metric: str) -> dict[str, Any]:
    return _card(metric, "test", metric, "BAR")


def _card(title: str, section: str, metric: str, kind: str) -> dict[str, Any]:
    return {
        "uuid": f"{section}-{metric}",
        "type": kind,
        "displayName": title,
        "metricKey": metric,
        "metricSectionId": section,
        "runsCountToCompare": CHARTED_RUNS,
        "deleted": False,
        "isGenerated": False,
    }


def show(client: Any, experiment_name: str, uri: str, port: int, browser: bool) -> None:
    """Save the view, serve the store where it is a database, say where the page is, and wait for Ctrl-C.

    Args:
        client: of MLflow, for the store at ``uri``.
        experiment_name: whose runs are shown; where it is not there yet, MLflow's first page is.
        uri: a database, which is served on ``port`` of the loopback interface, or the address of a server that runs.
        port: of 127.0.0.1.
        browser: open the page in one where there is a screen.

    Raises:
        DashboardError: the port is taken, or the server did not start.
    """
    experiment = client.get_experiment_by_name(experiment_name)
    if experiment is not None:
        save_view(client, experiment)
    if uri.startswith(("http://", "https://")):
        announce(address(uri.rstrip("/"), experiment), experiment is None, browser)
        return
    with suppress(KeyboardInterrupt), serve(uri, port) as server:
        announce(address(f"http://{HOST}:{port}", experiment), experiment is None, browser)
        server.wait()


def announce(where: str, empty: bool, browser: bool) -> None:
    """Say where the page is, and open it where there is a screen."""
    print(f"{where} (nothing was trained yet: `make repro`)" if empty else where, flush=True)
    if browser and (sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        webbrowser.open(where)


def save_view(client: Any, experiment: Any) -> None:
    """Write the view into the experiment's tags, unless somebody saved one of their own in its place."""
    present = json.loads(experiment.tags.get(TAG, "{}"))
    if present.get("updatedAt") != present.get("createdAt"):
        return
    runs = client.search_runs([experiment.experiment_id], max_results=CHARTED_RUNS)
    state = json.dumps(view({name for run in runs for name in run.data.metrics}), sort_keys=True)
    packed = f"deflate;{base64.b64encode(zlib.compress(state.encode(), 9)).decode()}"
    now = time.time_ns() // 1_000_000
    saved = {"name": NAME, "state": packed, "createdAt": now, "updatedAt": now}
    client.set_experiment_tag(experiment.experiment_id, TAG, json.dumps(saved))


def address(server: str, experiment: Any | None) -> str:
    """Where the view is on a server; without an experiment the server's first page."""
    if experiment is None:
        return server
    query = f"viewStateShareKey={KEY}&compareRunsMode=CHART&workflowType=machine_learning"
    return f"{server}/#/experiments/{experiment.experiment_id}/runs?{query}"


@contextmanager
def serve(store: str, port: int) -> "Iterator[subprocess.Popen[bytes]]":
    """MLflow's server on the loopback interface, answering; it ends with the block, also when SIGTERM ends that.

    Raises:
        DashboardError: the port is taken, or the server ended or did not answer.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise DashboardError(
                f"port {port} of {HOST} cannot be used ({error.strerror}); name another one: make ui PORT={port + 1}"
            ) from None
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A session of its own, so that its workers end with it.
    server = subprocess.Popen(
        [*command, "--host", HOST, "--port", str(port), "--workers", "1", "--uvicorn-opts", "--log-level warning"],
        # Its background jobs are for language models: a dozen more processes, of no use here.
        env={"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **os.environ},
        stdout=sys.__stderr__,
        start_new_session=True,
    )
    try:
        _await(server, f"http://{HOST}:{port}/health")
        yield server
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()


def _await(server: "subprocess.Popen[bytes]", health: str) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            if requests.get(health, timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.2)
    raise DashboardError(f"MLflow's server did not start ({health} does not answer); what it said is above")
