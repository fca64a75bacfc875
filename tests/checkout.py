"""A checkout of the project in a folder of its own, with a tiny generated dataset: what tests of the whole share."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
STAGES = ["download", "merge", "resize", "cache", "train", "evaluate"]
TINY = {
    "dataset": {"synthetic": {"train_clips": 14, "val_clips": 4, "frames": 2, "seed": 3}},
    "split": {"val": 0.3},
    "resize": {"size": 64},
    "cache": {"shard_size": 5},
    "train": {"epochs": 2, "batch_size": 4},
    "evaluate": {"samples": 2, "batch_size": 4},
}
# As little as trains and is scored at all: half a minute.
LEAST = {
    "dataset": {"synthetic": {"train_clips": 14, "val_clips": 9, "frames": 1, "seed": 3}},
    "train": {"epochs": 1, "batch_size": 2},
    "evaluate": {"samples": 1},
}


class Repository:
    """A checkout of the project in a folder of its own, with its own git and DVC state."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for name in ("src", "stages"):
            shutil.copytree(ROOT / name, path / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        for name in (
            "dvc.yaml",
            "params.yaml",
            ".gitignore",
            ".dvcignore",
            "data/published",
            "data/no-model",
            ".dvc/config",
            ".dvc/.gitignore",
            ".ci",
            ".dvc/plots",
        ):
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, path / name)
        self.environment = _environment(path.parent / "site-cache")
        self.run("git", "init", "--quiet", "--initial-branch=main")
        for name, value in (("user.name", "Test"), ("user.email", "test@example.org"), ("commit.gpgsign", "false")):
            self.run("git", "config", name, value)
        self.change(TINY)

    @classmethod
    def at(cls, path: Path, site_cache: Path) -> "Repository":
        """The one that was copied to ``path``, with DVC state of its own outside of it."""
        there = object.__new__(cls)
        there.path, there.environment = path, _environment(site_cache)
        return there

    def clone(self, path: Path) -> "Repository":
        """A clone by git, with DVC state of its own and so without any of this one's data."""
        self.run("git", "clone", "--quiet", str(self.path), str(path))
        return self._beside(path)

    def copy(self, path: Path) -> "Repository":
        """All of it in another folder, as `cp -r` makes it."""
        shutil.copytree(self.path, path, symlinks=True)
        return self._beside(path)

    def _beside(self, path: Path) -> "Repository":
        """The one at ``path``, in this one's environment but for DVC's state."""
        there = Repository.at(path, path.parent / f"site-cache-{path.name}")
        there.environment = {**self.environment, "DVC_SITE_CACHE_DIR": there.environment["DVC_SITE_CACHE_DIR"]}
        return there

    def commit(self, message: str) -> str:
        """Commit everything that git does not ignore; returns the commit."""
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--allow-empty", "--message", message)
        return self.run("git", "rev-parse", "HEAD").strip()

    def run(self, *command: str, ok: bool = True) -> str:
        """The command's whole output; with ``ok`` a failure fails the test and shows it."""
        # A file, because a pipe would stay open as long as a worker that the command left behind.
        with tempfile.TemporaryFile("w+") as file:
            done = subprocess.run(command, cwd=self.path, env=self.environment, stdout=file, stderr=subprocess.STDOUT)
            file.seek(0)
            output = file.read()
        assert (done.returncode == 0) == ok, output
        return output

    def change(self, changes: dict[str, Any]) -> None:
        """Set parameters in params.yaml."""
        path = self.path / "params.yaml"
        values = yaml.safe_load(path.read_text())
        _update(values, changes)
        path.write_text(yaml.safe_dump(values))

    def repro(self, *arguments: str) -> list[str]:
        """The stages that ``dvc repro`` ran."""
        output = self.run("dvc", "repro", *arguments)
        return [stage for stage in STAGES if f"Running stage '{stage}'" in output]

    def changed_stages(self) -> set[str]:
        """The stages that DVC holds for changed, without what follows from them."""
        return set(json.loads(self.run("dvc", "status", "--json")))

    def json(self, name: str) -> Any:
        return json.loads((self.path / name).read_text())


def _environment(site_cache: Path) -> dict[str, str]:
    """That of the tests, without what tells DVC, MLflow or git of another repository."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "GIT_"))},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DVC_SITE_CACHE_DIR": str(site_cache),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def _update(values: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict):
            _update(values[key], value)
        else:
            values[key] = value
