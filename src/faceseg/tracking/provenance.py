"""Where a run came from: the repository, its commit, DVC's experiment, the parameters and the data."""

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from faceseg.files import read_json
from faceseg.store.shards import Cache

WORKSPACE = "workspace"  # what DVC calls a run that is no experiment
# Written by the very run whose changes are looked for.
_OUTPUTS = (":!metrics", ":!dvc.lock")


def repository_root() -> Path:
    """The repository that the user sits in, also inside an experiment that DVC runs in a folder of its own."""
    return Path(os.environ.get("DVC_ROOT") or Path.cwd())


def flatten(settings: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Nested sections as dotted names, the way DVC and MLflow show them."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{where}.{key}" if where else key
        flat.update(flatten(value, name) if isinstance(value, Mapping) else {name: value})
    return flat


def run_tags(checkout: Path) -> dict[str, str]:
    """Tags of a run: DVC's experiment and its baseline, git's commit and whether anything differs from it.

    Args:
        checkout: whose code runs; in a queued experiment not the repository that the user sits in. Where it is no git
            repository, or git is missing, the tags of git are left out.
    """
    tags = {"dvc.exp": os.environ.get("DVC_EXP_NAME") or WORKSPACE}
    if baseline := os.environ.get("DVC_EXP_BASELINE_REV"):
        tags["dvc.exp.baseline"] = baseline
    commit = _git(checkout, "rev-parse", "HEAD")
    changes = _git(checkout, "status", "--porcelain", "--", ".", *_OUTPUTS)
    if commit is not None and changes is not None:
        # With these MLflow shows the commit as the run's source.
        tags |= {"mlflow.source.name": "stages/train.py", "mlflow.source.type": "LOCAL"}
        tags["mlflow.source.git.commit"] = commit
        tags["git.dirty"] = "true" if changes else "false"
    return tags


def _git(checkout: Path, *arguments: str) -> str | None:
    """Git's answer, or None when it has none."""
    try:
        done = subprocess.run(["git", *arguments], cwd=checkout, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def cache_datasets(cache: Path, raw: Path, splits: Sequence[str]) -> list[dict[str, Any]]:
    """The splits of the cache as MLflow describes datasets; one that the cache lacks is left out.

    Args:
        cache: folder of the cache stage. A split's ``digest`` covers its shards' hashes, and so every pixel.
        raw: folder of the download stage; its archive's hash is named where it is there.
        splits: names, which are also MLflow's contexts.

    Raises:
        MissingInputError: the cache is not there, or not complete.
    """
    Cache.open(cache)
    manifest = read_json(cache / "cache.json")
    source = raw / "source.json"
    archive = read_json(source).get("sha256") if source.exists() else None
    described = []
    for split in splits:
        facts = manifest["splits"].get(split)
        if facts is None:
            continue
        about = {key: manifest[key] for key in ("dataset", "size", "fit", "classes")}
        text = json.dumps({**about, "split": facts}, sort_keys=True)
        profile = {"pictures": facts["pictures"], "clips": facts["clips"], "pixels": facts["pixels"], **about}
        described.append(
            {
                "name": f"{manifest['dataset']}-{split}",
                "context": split,
                "digest": hashlib.sha256(text.encode()).hexdigest()[:32],  # MLflow takes 36 letters
                "uri": f"data/cache/{split}",
                "profile": {**profile, "archive_sha256": archive},
            }
        )
    return described
