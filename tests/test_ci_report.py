"""The script of a pull request's report, on two commits of a tiny repository."""

import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from tests.checkout import LEAST, TINY, Repository

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pipeline")]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Repository, Path]:
    """A repository whose second commit trains with a tenth of the learning rate and scores eyes worse; its report."""
    repository = Repository(tmp_path_factory.mktemp("ci") / "repository")
    settings = repository.path.parent / "settings.yaml"
    settings.write_text(yaml.safe_dump({**TINY, **LEAST}))
    _record(repository, hits=900)
    repository.commit("base")
    repository.change({"train": {"learning_rate": 0.0002}})
    _record(repository, hits=500)
    repository.commit("head")
    out = repository.path / "ci-report"
    (repository.path / "params.yaml").write_text("not what is reported on: the commits are\n")
    command = (sys.executable, ".ci/report.py", "--base", "HEAD~1", "--out", str(out), "--settings", str(settings))
    output = repository.run(*command, ok=False)
    assert "report: " in output, output
    return repository, out


def _record(repository: Repository, hits: int) -> None:
    """Scores of a real run, kept in git: ten clips in which eyes are found so well, and everything else always."""
    lines = ["clip,actual,predicted,pixels"]
    for clip in range(10):
        lines += [f"c{clip},skin,skin,9000", f"c{clip},eyes,eyes,{hits + clip}", f"c{clip},eyes,skin,{1000 - hits}"]
    confusion = [f"{actual},{predicted},1" for actual in ("skin", "eyes") for predicted in ("skin", "eyes")]
    (repository.path / "metrics/plots").mkdir(parents=True, exist_ok=True)
    (repository.path / "metrics/clips.csv").write_text("\n".join(lines) + "\n")
    (repository.path / "metrics/plots/confusion.csv").write_text("\n".join(["actual,predicted,pixels", *confusion]))


def test_recorded_scores_that_became_worse_fail_and_say_so(report: tuple[Repository, Path]) -> None:
    _, out = report
    recorded, tiny = (out / "report.md").read_text().split("## The tiny pipeline, run on both")
    assert recorded.startswith("<!-- faceseg-ci-report -->\n# faceseg: HEAD~1 (")
    assert "### faceseg compare: worse: mIoU" in recorded
    assert "| ▼ worse |" in recorded
    assert "| `train.learning_rate` | 0.002 | 0.0002 |" in recorded
    assert "### faceseg compare: " in tiny
    assert "9 test clips" in tiny


def test_what_dvc_says_is_in_the_report(report: tuple[Repository, Path]) -> None:
    _, out = report
    text = (out / "report.md").read_text()
    assert "<summary>dvc metrics diff</summary>" in text
    assert "| metrics/summary.json | test_miou" in text
    assert "| params.yaml | train.learning_rate | 0.002" in text


def test_every_image_that_the_report_names_is_there(report: tuple[Repository, Path]) -> None:
    _, out = report
    text = (out / "report.md").read_text()
    images = sorted(file.name for file in out.glob("*.png"))
    assert [line.split("(")[1].rstrip(")") for line in text.splitlines() if line.startswith("![")] == images
    for name in ("loss", "mean-iou", "learning-rate", "confusion", "classes"):
        assert any(name in image for image in images), images
    assert sum("ci-head" in image for image in images) == sum("ci-base" in image for image in images) == 1
    for image in images:
        with Image.open(out / image) as picture:
            picture.load()
            assert min(picture.size) > 60


def test_the_working_copy_is_left_alone(report: tuple[Repository, Path]) -> None:
    repository, _ = report
    assert repository.run("git", "status", "--porcelain").split() == ["M", "params.yaml"]
    assert repository.run("git", "tag") == ""
    assert not (repository.path / "data/raw").exists()


def test_an_unknown_base_is_exit_code_2(report: tuple[Repository, Path]) -> None:
    repository, _ = report
    (repository.path / "params.yaml").write_text("")
    code = (
        f"import subprocess as s; print(s.run(['{sys.executable}', '.ci/report.py', '--base', 'nowhere']).returncode)"
    )
    output = repository.run(sys.executable, "-c", code)
    assert output.splitlines()[-1] == "2"
    assert "git rev-parse --verify nowhere^{commit}" in output
