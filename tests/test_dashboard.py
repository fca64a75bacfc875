"""``faceseg ui`` as its user sees it: the real server, in a real browser."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from faceseg import dashboard
from tests.browser import chromium
from tests.running.probe import LONG, hear_signals

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PATIENCE_MS = 480_000
EPOCHS = 3
CLASSES = ("skin", "eyes")


def record(folder: Path) -> tuple[Any, str]:
    """A store with one run of three epochs, named as faceseg names things; the client and the run's id."""
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.create_experiment("faceseg", str(folder / "mlruns"))
    run = client.create_run(experiment, run_name="bold-bee").info.run_id
    for epoch in range(1, EPOCHS + 1):
        for name in ("lr", "loss", "f1", "iou", "val_loss", "val_f1", "val_iou", *(f"val_iou.{c}" for c in CLASSES)):
            client.log_metric(run, name, epoch / 10, step=epoch)
    for name in ("test.miou", "test.mf1", "test.pixel_accuracy", "test.iou.skin", "test.iou.eyes"):
        client.log_metric(run, name, 0.5)
    client.log_param(run, "model.architecture", "pspnet")
    picture = folder / "01-worst.png"
    Image.fromarray(np.full((40, 160, 3), (0, 160, 40), np.uint8)).save(picture)
    client.log_artifact(run, str(picture), "samples")
    client.set_terminated(run)
    return client, run


def test_only_what_the_runs_have_is_charted() -> None:
    state = dashboard.view(["lr", "loss", "iou", "val_iou", "val_iou.skin", "seconds", "test.miou", "test.iou.skin"])
    charts = state["compareRunCharts"]
    lines = [chart["selectedMetricKeys"] for chart in charts if chart["type"] == "LINE"]
    assert lines == [["iou", "val_iou"], ["loss"], ["lr"], ["val_iou.skin"]]
    assert [chart["metricKey"] for chart in charts if chart["type"] == "BAR"] == ["test.miou", "test.iou.skin"]
    assert len({chart["uuid"] for chart in charts}) == len(charts)
    assert {chart["metricSectionId"] for chart in charts} == {one["uuid"] for one in state["compareRunSections"]}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # SQLAlchemy's and Alembic's, which are MLflow's to mend
def test_a_view_that_somebody_saved_in_its_place_stays(tmp_path: Path) -> None:
    client, _ = record(tmp_path)
    dashboard.save_view(client, client.get_experiment_by_name("faceseg"))
    saved = client.get_experiment_by_name("faceseg")
    ours = json.loads(saved.tags[dashboard.TAG])
    theirs = json.dumps({**ours, "state": "theirs", "updatedAt": ours["updatedAt"] + 1})
    client.set_experiment_tag(saved.experiment_id, dashboard.TAG, theirs)
    dashboard.save_view(client, client.get_experiment_by_name("faceseg"))
    assert client.get_experiment_by_name("faceseg").tags[dashboard.TAG] == theirs


def test_a_taken_port_is_named() -> None:
    with socket.create_server((dashboard.HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(
                dashboard.DashboardError, match=rf"port {port} of 127\.0\.0\.1 cannot be used.*make ui PORT="
            ),
            dashboard.serve("sqlite://", port),
        ):
            pass


@pytest.fixture
def ui(tmp_path: Path) -> "Iterator[tuple[subprocess.Popen[str], str]]":
    """``faceseg ui`` over a recorded run: the process, and the address that it printed."""
    code = f"from tests.test_dashboard import *; record(Path({str(tmp_path)!r}))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DVC_"))}
    root = Path(__file__).parents[1]
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=root, env=environment, check=True)
    with socket.create_server((dashboard.HOST, 0)) as probe:
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).with_name("faceseg")), "ui", "--port", str(port), "--no-browser"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, preexec_fn=hear_signals
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=LONG)
        process.stdout.close()


def open_page(browser: "Browser") -> "Page":
    """An empty page of a browser that knows nothing of earlier ones."""
    page = browser.new_page(viewport={"width": 2400, "height": 1600})
    page.set_default_timeout(PATIENCE_MS)
    return page


@pytest.mark.slow
@pytest.mark.xdist_group("pipeline")
def test_the_dashboard_in_a_browser(ui: "tuple[subprocess.Popen[str], str]") -> None:
    """Columns and charts are chosen; a run has its curves and its pictures; Ctrl-C ends the server too."""
    process, where = ui
    assert where.startswith("http://127.0.0.1:")
    with chromium() as browser:
        page = open_page(browser)
        page.goto(where)
        for title in ("iou vs val_iou", "f1 vs val_f1", "loss vs val_loss", "val_iou.eyes vs val_iou.skin"):
            page.get_by_text(title, exact=True).first.wait_for()
        # Drawn, not only named: two lines of the first chart.
        page.locator(".js-plotly-plot .scatterlayer .trace").nth(1).wait_for(state="attached")
        # In a page of its own: a page that was open takes no view from an address that it has completed meanwhile.
        page = open_page(browser)
        page.goto(where.replace("compareRunsMode=CHART", "compareRunsMode=TABLE"))
        for column in ("metrics.`test.miou`", "metrics.`test.mf1`", "params.`model.architecture`"):
            page.locator(f'[role=columnheader][col-id="{column}"]').wait_for()
        assert page.locator("[role=columnheader][col-id*=skin]").count() == 0
        page.get_by_role("link", name="bold-bee").first.click()
        page.get_by_role("tab", name="Model metrics").click()
        for name in ("lr", "loss", "f1", "iou"):
            page.get_by_text(f"bold-bee ({name})", exact=True).first.wait_for()
        page.locator(".js-plotly-plot .scatterlayer .trace .point").nth(EPOCHS - 1).wait_for(state="attached")
        page.get_by_role("tab", name="Artifacts").click()
        page.get_by_text("samples", exact=True).first.click()
        page.get_by_text("01-worst.png").first.click()
        page.wait_for_function("[...document.images].some(i => i.naturalWidth == 160 && i.naturalHeight == 40)")
    server = where.split("/#")[0].rsplit(":", 1)[1]
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=LONG) == 0
    with socket.create_server((dashboard.HOST, int(server))):
        pass
