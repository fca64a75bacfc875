"""The pictures of the report and of MLflow in docs/images: Chromium opens both as they are in this repository.

    .venv/bin/python docs/make_screenshots.py                      after `make repro`
    .venv/bin/python docs/make_screenshots.py --name fasseg --without-pictures

``--without-pictures`` is for datasets whose photographs may not be passed on: it leaves out all that shows them.
"""

import argparse
import io
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from faceseg import dashboard
from faceseg.tracking.store import Store, experiment_name, tracking_uri

ROOT = Path(__file__).parents[1]
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
PATIENCE_MS = 300_000
QUALITY = 80
REPORTS = {"light": (1280, 1500), "dark": (390, 1800)}  # colour scheme: width and height in pixels
WITHOUT_PICTURES = "#samples, #samples ~ .legend, .sample, #samples + p { display: none !important; }"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="The pictures of the report and of MLflow.")
    parser.add_argument("--repository", type=Path, default=ROOT, help="where the pipeline ran")
    parser.add_argument("--name", default="default", help="how the files begin")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--without-pictures", action="store_true", help="leave out all that shows a picture")
    given = parser.parse_args(arguments)
    repository = given.repository.resolve()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        shots = report(browser, repository / "reports" / "report.html", given.without_pictures)
        shots |= mlflow(browser, repository, given.without_pictures)
        browser.close()
    for name, content in shots.items():
        path = given.out / f"{given.name}-{name}.jpg"
        Image.open(io.BytesIO(content)).convert("RGB").save(path, quality=QUALITY, optimize=True)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def report(browser: Browser, path: Path, without_pictures: bool) -> dict[str, bytes]:
    """The report's upper part, wide and light, narrow and dark."""
    shots = {}
    for scheme, (width, height) in REPORTS.items():
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        page.goto(path.as_uri())
        if without_pictures:
            page.add_style_tag(content=WITHOUT_PICTURES)
        shots[f"report-{scheme}"] = page.screenshot()
        page.close()
    return shots


def mlflow(browser: Browser, repository: Path, without_pictures: bool) -> dict[str, bytes]:
    """The dashboard as ``make ui`` opens it, the curves of the newest run, and one of its sample pictures."""
    store = Store(repository)
    store.open()
    experiment = store.client.get_experiment_by_name(experiment_name())
    dashboard.save_view(store.client, experiment)
    [run] = store.client.search_runs([experiment.experiment_id], max_results=1)
    with socket.create_server((dashboard.HOST, 0)) as probe:
        port = probe.getsockname()[1]
    server = f"http://{dashboard.HOST}:{port}"
    of_run = f"{server}/#/experiments/{experiment.experiment_id}/runs/{run.info.run_id}"
    shots = {}
    with dashboard.serve(tracking_uri(repository), port):
        page = _opened(browser, dashboard.address(server, experiment))
        _wait_for_curves(page, 4)
        shots["mlflow"] = page.screenshot()
        page = _opened(browser, f"{of_run}/model-metrics?workflowType=machine_learning")
        _wait_for_curves(page, 5)
        shots["mlflow-run"] = page.screenshot()
        if not without_pictures:
            page = _opened(browser, f"{of_run}/artifacts?workflowType=machine_learning")
            page.get_by_text("samples", exact=True).first.click()
            page.get_by_text("01-").first.click()
            page.wait_for_function("[...document.images].some(image => image.naturalWidth > 600)")
            shots["mlflow-samples"] = page.screenshot()
    return shots


def _opened(browser: Browser, address: str) -> Page:
    """A page of MLflow without the panel of an assistant, which opens by itself on a browser's first visit."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(PATIENCE_MS)
    page.add_init_script("localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')")
    page.goto(address)
    return page


def _wait_for_curves(page: Page, lines: int) -> None:
    page.locator(".js-plotly-plot .scatterlayer .trace").nth(lines - 1).wait_for(state="attached")


if __name__ == "__main__":
    main()
