"""Run on a small disk: a stage of a copy of a finished pipeline, on too little room, and again once there is more."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.checkout import Repository
from tests.small_disk import fill, fill_once
from tests.torture import Torture


def main(disk: Path, source: Path, stage: str, leave: str, options: list[str]) -> dict[str, Any]:
    """One stage on the full disk, and with some options once more.

    Args:
        leave: bytes, or the pattern of a file whose appearance fills the disk.
        options: ``--uncached``: DVC's cache has none of the outputs yet. ``--commit``: ``dvc commit -f`` of the stage,
            once there is room. ``--again``: then ``dvc repro`` of it.
    """
    shutil.copytree(source, disk / "repository", symlinks=True)
    repository = Repository.at(disk / "repository", source.parent / "site-cache-small")
    torture = Torture(repository, seed=0)
    for out in torture.outs[stage]:
        path = repository.path / out
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    torture.spoil(stage)
    if "--uncached" in options:
        shutil.rmtree(repository.path / ".dvc/cache/files")
    if leave.isdigit():
        fill(disk, int(leave))
    else:
        fill_once(disk, leave)
    failed = subprocess.run(
        ["dvc", "repro", stage],
        cwd=repository.path,
        env=repository.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    unfinished = [str(path) for path in repository.path.glob("[!.]*/**/.*.tmp")]
    said = {"code": failed.returncode, "failed": failed.stdout, "unfinished": unfinished}
    if "--again" in options:
        (disk / "filler").unlink()
        if "--commit" in options:
            repository.run("dvc", "commit", "-f", stage)
        said["again"] = torture.let_through(stage)
        said["mismatches"] = torture.count.mismatches
    return said


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:5], sys.argv[5:])))
