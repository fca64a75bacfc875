"""Where a run came from: git's commit and what differs from it, DVC's experiment, the splits of the cache."""

import subprocess
from pathlib import Path

import pytest

from faceseg.files import read_json, write_json
from faceseg.tracking import cache_datasets, repository_root, run_tags
from tests.training.blocks import write_cache


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DVC_EXP_NAME", "DVC_EXP_BASELINE_REV", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("src.py", "metrics/a.json", "dvc.lock"):
        write_json(tmp_path / name, {})
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    who = ("-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    git(tmp_path, *who, "commit", "--quiet", "--message", "base")
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_the_commit_and_a_clean_checkout(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    about = {"dvc.exp": "workspace", "mlflow.source.git.commit": commit, "git.dirty": "false"}
    assert about.items() <= run_tags(checkout).items()


@pytest.mark.parametrize(
    ("file", "dirty"), [("src.py", "true"), ("new.py", "true"), ("metrics/a.json", "false"), ("dvc.lock", "false")]
)
def test_dirty_is_what_the_run_did_not_write_itself(checkout: Path, file: str, dirty: str) -> None:
    write_json(checkout / file, {"changed": 1})
    assert run_tags(checkout)["git.dirty"] == dirty


def test_an_experiment_has_its_name_and_its_baseline(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "brisk-rods")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "abc123")
    assert run_tags(checkout).items() >= {"dvc.exp": "brisk-rods", "dvc.exp.baseline": "abc123"}.items()


def test_without_git_there_are_no_tags_of_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert set(run_tags(tmp_path)) <= {"dvc.exp", "dvc.exp.baseline"}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert set(run_tags(tmp_path)) <= {"dvc.exp", "dvc.exp.baseline"}


def test_the_users_repository_also_inside_a_queued_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert repository_root() == tmp_path
    monkeypatch.delenv("DVC_ROOT")
    assert repository_root() == Path.cwd()


def test_a_split_is_described_with_its_hash_and_counts(tmp_path: Path) -> None:
    cache = write_cache(tmp_path / "cache")
    write_json(tmp_path / "raw" / "source.json", {"sha256": "of the archive"})
    train, val = cache_datasets(cache, tmp_path / "raw", ("train", "val", "test"))  # it has no test split
    assert (train["name"], train["context"], train["uri"]) == ("blocks-train", "train", "data/cache/train")
    assert train["profile"]["pictures"] == 12
    assert train["profile"]["archive_sha256"] == "of the archive"
    assert len(train["digest"]) == 32
    assert train["digest"] != val["digest"]
    manifest = read_json(cache / "cache.json")
    manifest["splits"]["val"]["shards"][0]["masks_sha256"] = "another"
    write_json(cache / "cache.json", manifest)
    same, other = cache_datasets(cache, tmp_path / "nowhere", ("train", "val"))
    assert same["digest"] == train["digest"]
    assert other["digest"] != val["digest"]
    assert same["profile"]["archive_sha256"] is None
