"""A workspace in which everything lies that can rot: real data stages through real DVC, a training of no cost."""

import hashlib
import os
import subprocess
from pathlib import Path

import numpy as np
import yaml

from faceseg.tracking.journal import Journal
from faceseg.training.checkpoint import RunFolder
from tests.checkout import LEAST, Repository

# What train and evaluate write, of other content: DVC and the verification know both by their hashes alone.
STAND_IN = """
import hashlib, json, sys
from pathlib import Path
def write(name, content):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(content)
if sys.argv[1] == "train":
    weights = "weights " * 1000
    write("models/model.weights.h5", weights)
    write("models/model.json", json.dumps({"weights_sha256": hashlib.sha256(weights.encode()).hexdigest()}))
    write("metrics/train.json", '{"val_iou": 0.5}')
    write("metrics/plots/curves.csv", "epoch,loss\\n1,2.5\\n")
else:
    write("metrics/evaluate.json", '{"miou": 0.25}')
    write("metrics/summary.json", '{"test_miou": 0.25}')
    write("metrics/plots/confusion.csv", "actual,predicted,pixels\\n0,0,7\\n")
    write("metrics/clips.csv", "clip\\n1\\n")
    write("reports/samples/1.png", "a picture" * 100)
    write("reports/report.html", "<html>a page</html>")
"""


def build(path: Path) -> Repository:
    """The pipeline, run and committed; beside it a training that was killed, with checkpoints and a journal."""
    repository = Repository(path)
    repository.change({**LEAST, "compute": {"workers": 1}})
    graph = yaml.safe_load((path / "dvc.yaml").read_text())
    for stage in ("train", "evaluate"):
        graph["stages"][stage]["cmd"] = f"python stand_in.py {stage}"
    (path / "dvc.yaml").write_text(yaml.safe_dump(graph, sort_keys=False))
    (path / "stand_in.py").write_text(STAND_IN)
    repository.repro()
    repository.commit("made")
    _leave_a_training(path)
    content = b"of another revision"
    other = path / ".dvc/cache/files/md5" / _split(hashlib.md5(content, usedforsecurity=False).hexdigest())
    other.parent.mkdir(exist_ok=True)
    other.write_bytes(content)
    return repository


def _leave_a_training(path: Path) -> None:
    with RunFolder(path / ".faceseg/runs", {"data": "1", "train": {"epochs": 9}}) as folder:
        for epoch in (1, 2):
            best = folder.save_best(epoch, [np.arange(50.0) * epoch])
            folder.save(epoch, [np.arange(99.0) * epoch], {"best_weights": best, "score": 0.5 * epoch})
    journal = Journal(path / ".faceseg/journal" / f"{folder.fingerprint[:16]}-1.jsonl")
    journal.append("start", params={"train.epochs": 9}, tags={})
    journal.append("epoch", values={"epoch": 1, "loss": 2.5})


def _split(md5: str) -> str:
    return f"{md5[:2]}/{md5[2:]}"


def object_of(repository: Repository, name: str) -> str:
    """The path of DVC's copy of a file."""
    digest = hashlib.md5((repository.path / name).read_bytes(), usedforsecurity=False).hexdigest()
    return f".dvc/cache/files/md5/{_split(digest)}"


def listing_of(repository: Repository, output: str) -> str:
    """The path of the object that lists the files of a folder."""
    stages = yaml.safe_load((repository.path / "dvc.lock").read_text())["stages"]
    [md5] = [out["md5"] for stage in stages.values() for out in stage["outs"] if out["path"] == output]
    return f".dvc/cache/files/md5/{_split(md5)}"


def flip(path: Path, at: float = 0.5) -> None:
    """Change one bit as a disk does that forgets: the date stays, and so does the mode."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[min(len(content) - 1, int(at * len(content)))] ^= 1
    overwrite(path, bytes(content))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def overwrite(path: Path, content: bytes) -> None:
    mode = path.stat().st_mode
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(mode & 0o777)


def shell(repository: Repository, command: str) -> None:
    """Run a command as a person would who copies it from the report."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=repository.path,
        env=repository.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}"
