"""One byte flipped in every kind of artefact: each is caught by name, and the command beside it mends it."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from faceseg.cli import app
from faceseg.verification import ledger
from faceseg.verification.artefacts import Verified, verify_artefacts
from tests.checkout import Repository
from tests.verification.workspace import build, flip, listing_of, object_of, shell

pytestmark = pytest.mark.xdist_group("artefacts")  # one workspace for all of this file

Find = Callable[[Repository], str]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return build(tmp_path_factory.mktemp("artefacts") / "repository")


@pytest.fixture
def repository(built: Repository, monkeypatch: pytest.MonkeyPatch) -> Repository:
    for name in ("DVC_SITE_CACHE_DIR", "PATH"):
        monkeypatch.setenv(name, built.environment[name])
    monkeypatch.chdir(built.path)
    return built


def verified(repository: Repository) -> Verified:
    return verify_artefacts(repository.path, 2)


def first(pattern: str) -> Find:
    """The first file of the workspace with a name like this."""
    return lambda repository: min(repository.path.glob(pattern)).relative_to(repository.path).as_posix()


KINDS: dict[str, Find] = {
    "raw archive": first("data/raw/dataset.zip"),
    "source.json": first("data/raw/source.json"),
    "merged pack": first("data/merged/masks-*.zip"),
    "merged index": first("data/merged/index.csv"),
    "rejections": first("data/merged/rejected.csv"),
    "resized pack": first("data/resized/pack-*.zip"),
    "resized index": first("data/resized/index.csv"),
    "pictures": first("data/cache/train/images-*.npy"),
    "masks": first("data/cache/val/masks-*.npy"),
    "cache index": first("data/cache/test/index.csv"),
    "cache.json": first("data/cache/cache.json"),
    "origins": first("data/origins/resize.csv"),
    "weights": first("models/model.weights.h5"),
    "model.json": first("models/model.json"),
    "data metrics": first("metrics/data.json"),
    "curves": first("metrics/plots/curves.csv"),
    "scores": first("metrics/evaluate.json"),
    "report": first("reports/report.html"),
    "sample": first("reports/samples/*.png"),
    "object of a file": lambda repository: object_of(repository, "models/model.weights.h5"),
    "object of a pack": lambda repository: object_of(repository, first("data/merged/masks-*.zip")(repository)),
    "object of origins": lambda repository: object_of(repository, "data/origins/cache.csv"),
    "list of a folder": lambda repository: listing_of(repository, "data/cache"),
    "object of another revision": lambda repository: next(
        name.relative_to(repository.path).as_posix()
        for name in repository.path.glob(".dvc/cache/files/md5/*/*")
        if name.read_bytes() == b"of another revision"
    ),
    "run cache": first(".dvc/cache/runs/*/*/*"),
    "checkpoint": first(".faceseg/runs/*/epoch-*.npz"),
    "checkpoint's record": first(".faceseg/runs/*/epoch-*.json"),
    "best weights": first(".faceseg/runs/*/best-*.npz"),
    "identity": first(".faceseg/runs/*/identity.json"),
    "journal": first(".faceseg/journal/*.jsonl"),
}


@pytest.fixture
def kept(request: pytest.FixtureRequest, repository: Repository) -> Iterator[Path]:
    """A file of the workspace, brought back afterwards as it was, date and all."""
    path = repository.path / KINDS[request.param](repository)
    copy = repository.path.parent / "kept"
    shutil.copy2(path, copy)
    yield path
    if path.exists():
        path.chmod(0o644)
    shutil.copy2(copy, path)


def test_a_workspace_as_it_was_written_passes(repository: Repository) -> None:
    report = verified(repository)
    assert report.faults == []
    assert report.files > 100
    assert report.to_dict()["passed"] is True


@pytest.mark.parametrize("kept", KINDS, indirect=True)
def test_a_flipped_byte_is_caught_by_name_and_nothing_else_is(repository: Repository, kept: Path) -> None:
    flip(kept)
    assert [fault.path for fault in verified(repository).faults] == [kept.relative_to(repository.path).as_posix()]


@pytest.mark.parametrize(
    "kept", ["raw archive", "resized pack", "weights", "curves", "object of a pack", "checkpoint"], indirect=True
)
def test_a_missing_file_is_caught_by_name(repository: Repository, kept: Path) -> None:
    kept.unlink()
    [fault] = verified(repository).faults
    assert fault.path == kept.relative_to(repository.path).as_posix()
    assert "is not there" in fault.wrong


@pytest.mark.parametrize(
    "name",
    [
        "data/merged/masks-00031.zip",
        "data/cache/train/images-00009.npy",
        ".dvc/cache/files/md5/ab/.Jx8.tmp",
        ".faceseg/runs/{run}/best-00007.npz",
    ],
)
def test_a_leftover_file_is_caught_by_name(repository: Repository, name: str) -> None:
    [run] = (repository.path / ".faceseg/runs").iterdir()
    path = repository.path / name.format(run=run.name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"left over")
    [fault] = verified(repository).faults
    path.unlink()
    assert fault.path == path.relative_to(repository.path).as_posix()
    assert "is left over" in fault.wrong
    assert fault.mend == f"rm -f {fault.path}"


def test_a_torn_line_of_a_journal_and_how_to_mend_it(repository: Repository) -> None:
    [journal] = (repository.path / ".faceseg/journal").glob("*.jsonl")
    before = journal.read_bytes()
    journal.write_bytes(before + b'{"kind": "epo')
    [fault] = verified(repository).faults
    assert fault.wrong == "its last line is torn, as a kill leaves it"
    shell(repository, fault.mend)
    assert journal.read_bytes() == before


def test_a_training_that_runs_is_left_alone(repository: Repository) -> None:
    from faceseg.training.checkpoint import RunFolder

    [run] = (repository.path / ".faceseg/runs").iterdir()
    identity = json.loads((run / "identity.json").read_text())
    with RunFolder(run.parent, identity) as folder:
        (folder.path / "half.tmp").write_bytes(b"half")
        assert verified(repository).faults == []
        (folder.path / "half.tmp").unlink()


def test_the_command_speaks_to_people_and_to_programs(repository: Repository) -> None:
    run = CliRunner().invoke(app, ["verify"])
    assert run.exit_code == 0, run.output
    assert "all as they were written" in run.stdout
    page = repository.path / "reports/report.html"
    before = page.read_bytes()
    flip(page)
    run = CliRunner().invoke(app, ["verify", "--json"])
    people = CliRunner().invoke(app, ["verify"])
    page.write_bytes(before)
    assert (run.exit_code, people.exit_code) == (1, 1)
    said = json.loads(run.stdout)
    assert said["passed"] is False
    assert [fault["path"] for fault in said["faults"]] == ["reports/report.html"]
    assert "rm -f reports/report.html && dvc checkout --force reports\n" in people.stdout
    assert "1 not as they were written" in people.stdout


def test_without_dvc_s_lists_the_manifests_name_the_file(repository: Repository) -> None:
    """After `dvc gc`, or where the cache was thrown away to make room."""
    cache = repository.path / ".dvc/cache"
    cache.rename(repository.path / "aside")
    names = [KINDS[kind](repository) for kind in ("raw archive", "merged pack", "masks", "weights")]
    before = {name: (repository.path / name).read_bytes() for name in names}
    for name in names:
        flip(repository.path / name)
    faults = [fault.path for fault in verified(repository).faults if fault.path.startswith(("data/", "models/"))]
    for name in names:
        (repository.path / name).write_bytes(before[name])
    only = [fault.path for fault in verified(repository).faults]
    shutil.rmtree(cache, ignore_errors=True)
    (repository.path / "aside").rename(cache)
    assert faults == names
    assert all(path.startswith(".dvc/cache/files/md5/") for path in only)


def test_without_a_record_the_manifests_name_the_file(repository: Repository) -> None:
    lock = repository.path / "dvc.lock"
    lock.rename(repository.path / "aside")
    name = KINDS["masks"](repository)
    before = (repository.path / name).read_bytes()
    flip(repository.path / name)
    faults = verified(repository).faults
    (repository.path / "aside").rename(lock)
    (repository.path / name).write_bytes(before)
    assert [(fault.path, fault.mend) for fault in faults] == [
        ("dvc.lock", "git checkout HEAD -- dvc.lock"),
        (name, f"rm -f {name} && dvc repro cache"),
    ]


def test_a_record_that_leads_outside_is_refused(repository: Repository) -> None:
    content = (repository.path / "dvc.lock").read_text().replace("path: models\n", "path: ../models\n")
    with pytest.raises(ledger.LedgerError, match=r"names \.\./models .*; expected a path inside the repository"):
        list(ledger.outputs_of_lock(content.encode(), repository.path))
