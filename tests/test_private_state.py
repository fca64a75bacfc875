"""DVC's database, which holds pickles, lies where nobody else writes: not in the folder that all users share."""

import shutil
import stat
import sys
from pathlib import Path

import pytest

from tests.checkout import LEAST, ROOT, Repository

SHARED = Path("/var/tmp/dvc/repo")  # noqa: S108 - DVC's default, in which nothing may land


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Set up as `make setup` does it, with nothing in the environment that moves the database."""
    repository = Repository(tmp_path / "repository")
    shutil.copy(ROOT / "Makefile", repository.path)
    del repository.environment["DVC_SITE_CACHE_DIR"]
    repository.run("make", "private-state", f"VENV={sys.prefix}")
    return repository


def databases(repository: Repository) -> list[Path]:
    return sorted((repository.path / ".dvc/state/repo").iterdir())


def test_make_setup_moves_it_into_a_folder_of_ones_own(repository: Repository) -> None:
    (repository.path / ".dvc/state").chmod(0o777)
    repository.run("make", "private-state", f"VENV={sys.prefix}")
    assert stat.S_IMODE((repository.path / ".dvc/state").stat().st_mode) == 0o700
    repository.run("dvc", "status")
    [database] = databases(repository)
    assert not (SHARED / database.name).exists()
    assert f"Repo.site_cache_dir: {database}" in repository.run("dvc", "--cd", "data", "doctor")
    assert ".dvc/state" not in repository.run("git", "status", "--short", "--untracked-files=all")


def test_setup_includes_it() -> None:
    rules = (ROOT / "Makefile").read_text()
    assert "setup: $(STAMP)\n\t@$(MAKE) --no-print-directory private-state\n" in rules


@pytest.mark.slow
@pytest.mark.xdist_group("pipeline")
def test_experiments_in_folders_of_their_own_keep_to_it(repository: Repository) -> None:
    repository.change(LEAST)
    repository.repro("download")
    repository.commit("baseline")
    change = ("--set-param", "dataset.synthetic.seed=4")
    output = repository.run("dvc", "exp", "run", "--temp", *change, "download")
    assert "Running stage 'download'" in output
    assert len(databases(repository)) == 2  # the repository's and the experiment's
    for database in databases(repository):
        assert not (SHARED / database.name).exists()
