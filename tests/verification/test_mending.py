"""The command beside each fault really mends it: copied from the report and run in a shell, nothing is left wrong."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from faceseg.verification.artefacts import verify_artefacts
from tests.checkout import STAGES, Repository
from tests.verification.workspace import build, flip, listing_of, object_of, overwrite, shell

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("artefacts")]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return build(tmp_path_factory.mktemp("mending") / "repository")


@pytest.fixture
def repository(built: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    """A copy of its own for each test; at its end every output is there again, byte for byte."""
    repository = built.copy(tmp_path / "repository")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", repository.environment["DVC_SITE_CACHE_DIR"])
    yield repository
    for name in ("data", "models", "metrics", "reports"):
        for path in (built.path / name).rglob("*.*"):
            if path.is_file():
                assert (repository.path / path.relative_to(built.path)).read_bytes() == path.read_bytes()
    assert (repository.path / "dvc.lock").read_bytes() == (built.path / "dvc.lock").read_bytes()


def mend(repository: Repository, *names: str) -> list[str]:
    """Run the commands of the report in its order; the commands. ``names``: what it must have found."""
    faults = verify_artefacts(repository.path, 2).faults
    assert {fault.path for fault in faults} == {*names}
    commands = list(dict.fromkeys(fault.mend for fault in faults))
    for command in commands:
        shell(repository, command)
    assert verify_artefacts(repository.path, 2).faults == []
    return commands


@pytest.mark.parametrize("pattern", ["data/raw/dataset.zip", "data/resized/pack-*.zip", "data/origins/merge.csv"])
def test_an_output_comes_back_from_dvc_s_cache(repository: Repository, pattern: str) -> None:
    path = min(repository.path.glob(pattern))
    flip(path)
    [command] = mend(repository, path.relative_to(repository.path).as_posix())
    assert "dvc checkout --force" in command


def test_a_folder_comes_back_from_dvc_s_cache(repository: Repository) -> None:
    shutil.rmtree(repository.path / "models")
    assert mend(repository, "models") == ["dvc checkout --force models"]


@pytest.mark.parametrize("name", ["data/cache/cache.json", "data/origins/merge.csv"])
def test_a_copy_of_dvc_is_made_anew_from_a_whole_output(repository: Repository, name: str) -> None:
    copy = object_of(repository, name)
    flip(repository.path / copy)
    [command] = mend(repository, copy)
    assert "dvc commit --force" in command


def test_a_list_of_dvc_is_made_anew_from_a_whole_folder(repository: Repository) -> None:
    flip(repository.path / listing_of(repository, "data/merged"))
    assert "dvc commit --force merge" in mend(repository, listing_of(repository, "data/merged"))[0]


def test_all_copies_of_dvc_are_made_anew(repository: Repository) -> None:
    """As when the cache was thrown away to make room."""
    shutil.rmtree(repository.path / ".dvc/cache/files")
    faults = verify_artefacts(repository.path, 2).faults
    assert all("is not there: DVC has no copy" in fault.wrong for fault in faults)
    commands = mend(repository, *(fault.path for fault in faults))
    assert commands == [f"dvc commit --force {stage}" for stage in STAGES]


@pytest.mark.parametrize("name", ["data/raw/source.json", "models/model.json"])
def test_what_is_damaged_in_both_places_is_made_anew(repository: Repository, name: str) -> None:
    copy = object_of(repository, name)
    flip(repository.path / name)
    flip(repository.path / copy)
    assert any("dvc repro" in command for command in mend(repository, name, copy))


def test_a_damaged_list_with_a_damaged_file(repository: Repository) -> None:
    pack = min(repository.path.glob("data/merged/masks-*.zip"))
    listed = listing_of(repository, "data/merged")
    flip(pack)
    flip(repository.path / listed)
    assert "dvc repro merge" in mend(repository, pack.relative_to(repository.path).as_posix(), listed)[-1]


def test_a_metric_comes_back_from_git(repository: Repository) -> None:
    flip(repository.path / "metrics/evaluate.json")
    assert mend(repository, "metrics/evaluate.json") == ["git checkout HEAD -- metrics/evaluate.json"]


def test_a_metric_that_git_does_not_know_is_made_anew(repository: Repository) -> None:
    repository.run("git", "rm", "--quiet", "--cached", "metrics/data.json")
    repository.run("git", "commit", "--quiet", "--message", "not in git")
    flip(repository.path / "metrics/data.json")
    assert mend(repository, "metrics/data.json") == ["rm -f metrics/data.json && dvc repro merge"]


def test_a_digit_of_dvc_lock_comes_back_from_git(repository: Repository) -> None:
    lock = repository.path / "dvc.lock"
    name = listing_of(repository, "models")
    md5 = name.removeprefix(".dvc/cache/files/md5/").replace("/", "")
    other = ("1" if md5[0] == "0" else "0") + md5[1:]
    lock.write_text(lock.read_text().replace(md5, other))
    assert mend(repository, "dvc.lock") == ["git checkout HEAD -- dvc.lock"]


def test_a_file_that_dvc_tracks_by_itself(repository: Repository) -> None:
    mine = repository.path / "data/mine.bin"
    mine.write_bytes(b"my own pictures")
    repository.run("dvc", "add", "--quiet", "data/mine.bin")
    copy = object_of(repository, "data/mine.bin")
    flip(mine)
    assert mend(repository, "data/mine.bin") == ["rm -f data/mine.bin && dvc checkout --force data/mine.bin"]
    flip(repository.path / copy)
    assert mend(repository, copy) == [f"rm -f {copy} && dvc commit --force data/mine.bin.dvc"]


def test_outputs_that_are_links_to_dvc_s_copies(repository: Repository) -> None:
    """With ``cache.type: hardlink`` an output and its copy are one file: both are bad, and it is made anew."""
    name = "data/resized/index.csv"
    copy = repository.path / object_of(repository, name)
    (repository.path / name).unlink()
    (repository.path / name).hardlink_to(copy)
    flip(copy)
    assert any(
        "dvc repro resize" in command
        for command in mend(repository, name, copy.relative_to(repository.path).as_posix())
    )
    before = (repository.path / name).read_bytes()
    (repository.path / name).unlink()
    (repository.path / name).write_bytes(before)


@pytest.mark.parametrize(
    "pattern",
    [
        ".dvc/cache/runs/*/*/*",
        ".faceseg/runs/*/epoch-*.npz",
        ".faceseg/runs/*/epoch-*.json",
        ".faceseg/journal/*.jsonl",
    ],
)
def test_what_can_be_done_without_goes(repository: Repository, pattern: str) -> None:
    path = max(repository.path.glob(pattern))
    flip(path)
    mend(repository, path.relative_to(repository.path).as_posix())
    assert not path.exists()


def test_best_weights_and_identity_go(repository: Repository) -> None:
    best = max(repository.path.glob(".faceseg/runs/*/best-*.npz"))
    overwrite(best, b"")
    mend(repository, best.relative_to(repository.path).as_posix())
    identity = best.with_name("identity.json")
    flip(identity)
    mend(repository, identity.relative_to(repository.path).as_posix())
    assert not identity.exists()
