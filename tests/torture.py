"""Kills the pipeline again and again while it writes, and compares every byte with an undisturbed run: `make torture`.

Three kinds of kill, all SIGKILL: to the stage's process, to dvc alone, to the whole group. A kill falls when something
is being written: the files of the run are watched from outside, and after a number of changes that is drawn the next
one fires it. Then `dvc repro` goes on, is killed again or not, and when it has ended well every output and
dvc.lock must be those of the undisturbed run, and nothing half written may be left.
"""

import argparse
import os
import random
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml

from faceseg.files import sha256
from tests.checkout import STAGES, Repository

KINDS = ("process", "dvc", "group")
# All that a resume could lose: the plateau's and early stopping's counts, averages, the best weights, Adam's slots.
SETTINGS = {
    "resize": {"size": 96},
    "train": {
        "epochs": 6,
        "schedule": {"name": "plateau", "patience": 1, "warmup_epochs": 1},
        "average_decay": 0.9,
        "keep": "best",
        "early_stopping": {"patience": 6},
    },
}
# Changes of files that are seen before a kill, at most: about as many as an undisturbed stage shows.
CHANGES = {"download": 40, "merge": 25, "resize": 25, "cache": 12, "train": 4, "evaluate": 5}
CHAIN = {"train": 6}  # kills before a run is let through; of the other stages two
LOOK_SECONDS = 0.01
LONG_SECONDS = 600.0  # no step takes so long, on any machine
UNFINISHED = re.compile(r"(^|/)\.[^/]*\.tmp(/|$)")


@dataclass
class Count:
    """What happened: kills by stage, kills of training after its first epoch, and the rest by name."""

    kills: Counter[str] = field(default_factory=Counter)
    late: int = 0
    resumes: int = 0
    refused: int = 0
    mismatches: list[str] = field(default_factory=list)


class Watch:
    """Sees which files of a stage's run change."""

    def __init__(self, folder: Path, roots: list[str]) -> None:
        self._roots = [folder / root for root in roots]
        self._folder = folder
        self._seen = dict(self._files())
        self.written: dict[str, int] = {}

    def changed(self) -> str | None:
        """A file that is new or grew since the last look; its size counts as written."""
        now = dict(self._files())
        fresh = [name for name, (size, when) in now.items() if self._seen.get(name) != (size, when)]
        self._seen = now
        self.written |= {name: now[name][0] for name in fresh}
        return max(fresh, key=lambda name: (bool(UNFINISHED.search(name)), name)) if fresh else None

    def _files(self) -> Iterator[tuple[str, tuple[int, int]]]:
        for root in self._roots:
            paths = [root, *root.parent.glob(f".{root.name}.*.tmp")]
            # os.walk passes over folders that go while it looks; Path.rglob does not.
            paths += [Path(folder, name) for folder, _, names in os.walk(root) for name in names]
            for path in paths:
                try:
                    status = path.stat()
                except FileNotFoundError:  # it took its name in between
                    continue
                if stat.S_ISREG(status.st_mode):
                    yield path.relative_to(self._folder).as_posix(), (status.st_size, status.st_mtime_ns)


class Torture:
    """Kills stages of a repository whose pipeline has been run undisturbed."""

    def __init__(self, repository: Repository, seed: int) -> None:
        self.repository, self.path = repository, repository.path
        self.draw = random.Random(seed)  # noqa: S311 - no secret
        self.count = Count()
        stages = yaml.safe_load((self.path / "dvc.yaml").read_text())["stages"]
        self.outs = {s: [o if isinstance(o, str) else next(iter(o)) for o in stages[s]["outs"]] for s in STAGES}
        self.lock = (self.path / "dvc.lock").read_bytes()
        self.expected = {stage: self._hashes(stage) for stage in STAGES}

    def run(self, stage: str, kills: int) -> None:
        """Kill ``stage`` so often, the kinds in turn, letting it end well in between."""
        kinds = [KINDS[number % 3] for number in range(kills)]
        self.draw.shuffle(kinds)
        while kinds:
            for _ in range(min(len(kinds), self.draw.randint(1, CHAIN.get(stage, 2)))):
                if self.kill(stage, kinds[-1]):
                    kinds.pop()
            self.let_through(stage)

    def kill(self, stage: str, kind: str, changes: int = 0) -> bool:
        """One run of a stage that is killed at so many changes (0: drawn), or fewer; False when it ended before."""
        if (self.path / "dvc.lock").read_bytes() == self.lock:
            self.spoil(stage)
        changes = changes or self.draw.randint(1, CHANGES[stage])
        while changes:
            runs = [".faceseg/runs"] if stage == "train" else []
            watch = Watch(self.path, [*self.outs[stage], *runs])
            log = self.path.parent / "killed.log"
            with log.open("w") as out:
                dvc = subprocess.Popen(
                    ["dvc", "repro", stage],
                    cwd=self.path,
                    env=self.repository.environment,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                )
            process = _stage_process(dvc, stage)
            phase = self._wait(dvc, process, watch, stage, changes)
            if phase is not None and process is not None:
                self._strike(dvc, process, kind)
                self._tell(stage, kind, phase, watch)
                return True
            dvc.wait()
            if "already running" in log.read_text():
                self.count.refused += 1
                continue
            self.let_through(stage)  # too late: it has ended well
            self.spoil(stage)
            changes //= 2
        return False

    def _wait(
        self, dvc: subprocess.Popen[bytes], process: psutil.Process | None, watch: Watch, stage: str, changes: int
    ) -> str | None:
        """Until the change that was drawn; what was changing then, or None when the run ended before."""
        epochs = self._epochs() if stage == "train" else 0
        while process is not None and dvc.poll() is None:
            name = watch.changed()
            if name is not None and (stage != "train" or (self._epochs() and self._epochs() >= epochs)):
                changes -= 1
                if changes <= 0 and process.is_running():
                    return name
            time.sleep(LOOK_SECONDS)
        return None

    def _strike(self, dvc: subprocess.Popen[bytes], process: psutil.Process, kind: str) -> None:
        if kind == "process":
            process.kill()
        elif kind == "dvc":
            dvc.kill()
        else:
            os.killpg(dvc.pid, signal.SIGKILL)
        dvc.wait()

    def _tell(self, stage: str, kind: str, name: str, watch: Watch) -> None:
        self.count.kills[stage] += 1
        phase = f"{'writing' if UNFINISHED.search(name) else 'after writing'} {name}"
        if stage == "train":
            self.count.late += 1
            phase = f"after epoch {self._epochs()}, {phase}"
        number = sum(self.count.kills.values())
        print(f"{number:3} {kind:8} {stage:9} {sum(watch.written.values()):>12,} bytes  {phase}", flush=True)

    def let_through(self, stage: str) -> str:
        """Run to a good end, past the orphan of a killed dvc, and compare; returns what dvc and the stage said."""
        until = time.monotonic() + LONG_SECONDS
        while True:
            done = subprocess.run(
                ["dvc", "repro", stage],
                cwd=self.path,
                env=self.repository.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            if done.returncode == 0:
                break
            if "already running" not in done.stdout or time.monotonic() > until:
                self.count.mismatches.append(f"{stage} did not go on: {done.stdout[-2000:]}")
                print(self.count.mismatches[-1], flush=True)
                return done.stdout
            self.count.refused += 1
            time.sleep(0.5)
        self.count.resumes += 1
        found = self._hashes(stage)
        wrong = sorted(
            name for name in found | self.expected[stage] if found.get(name) != self.expected[stage].get(name)
        )
        if (self.path / "dvc.lock").read_bytes() != self.lock:
            wrong.append("dvc.lock")
        for name in wrong:
            self.count.mismatches.append(f"{stage}: {name}")
            print(f"    MISMATCH {stage}: {name}", flush=True)
        return done.stdout

    def spoil(self, stage: str) -> None:
        """Make DVC hold the stage for changed, and forget what would skip the work; its outputs are there or not."""
        head, name, rest = self.lock.decode().partition(f"\n  {stage}:\n")
        other = re.sub("md5: [0-9a-f]{32}", f"md5: {'f' * 32}", rest, count=1)
        (self.path / "dvc.lock").write_text(head + name + other)
        for folder in (".dvc/cache/runs", ".faceseg/runs"):
            shutil.rmtree(self.path / folder, ignore_errors=True)
        all_of_them = self.draw.random() < 0.5
        for out in self.outs[stage]:
            # Without the record of what they were made of, outputs that are there are made anew over the old ones.
            if all_of_them or out.startswith("data/origins/"):
                path = self.path / out
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def _hashes(self, stage: str) -> dict[str, str]:
        """The digest of every file of the stage's outputs, half-written ones too, which are none of its files."""
        found = {}
        for out in map(self.path.joinpath, self.outs[stage]):
            paths = [path for path in out.rglob("*") if path.is_file()] if out.is_dir() else [out]
            paths += [path for path in out.parent.glob(f".{out.name}.*.tmp") if path.is_file()]
            found |= {str(path.relative_to(self.path)): sha256(path) for path in paths if path.exists()}
        return found

    def _epochs(self) -> int:
        """The last epoch that training has saved; 0: none."""
        saved = sorted(self.path.glob(".faceseg/runs/*/epoch-*.json"))
        return int(saved[-1].stem[-5:]) if saved else 0


def _stage_process(dvc: subprocess.Popen[bytes], stage: str) -> psutil.Process | None:
    """The process of the stage below dvc; None when dvc ended without one."""
    while dvc.poll() is None:
        try:
            for process in psutil.Process(dvc.pid).children(recursive=True):
                if f"stages.{stage}" in process.cmdline():
                    return process
        except psutil.NoSuchProcess:  # one of them ended while we looked
            continue
        time.sleep(LOOK_SECONDS)
    return None


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--kills", type=int, default=8, help="of each stage but train")
    arguments.add_argument("--train-kills", type=int, default=20, help="of train, after its first epoch")
    given = arguments.parse_args()
    began, used = time.monotonic(), os.times()
    with tempfile.TemporaryDirectory() as scratch:
        repository = Repository(Path(scratch) / "repository")
        repository.change(SETTINGS)
        repository.repro()
        print(f"undisturbed run: {time.monotonic() - began:.0f} s; seed {given.seed}", flush=True)
        torture = Torture(repository, given.seed)
        for stage in STAGES:
            torture.run(stage, given.train_kills if stage == "train" else given.kills)
    count = torture.count
    now = os.times()
    cores = now.children_user + now.children_system - used.children_user - used.children_system
    print(f"kills by stage: {', '.join(f'{stage} {count.kills[stage]}' for stage in STAGES)}")
    print(f"{count.late} kills of training after its first epoch; {count.refused} second runs refused by a lock")
    print(
        f"{sum(count.kills.values())} kills, {count.resumes} resumes to a good end, "
        f"{len(count.mismatches)} mismatches; {time.monotonic() - began:.0f} s, {cores:.0f} s of the cores"
    )
    enough = count.late >= given.train_kills and all(count.kills[s] >= given.kills for s in STAGES if s != "train")
    if not enough:
        print(f"too few kills: expected {given.kills} of every stage and {given.train_kills} of training")
    return int(bool(count.mismatches) or not enough)


if __name__ == "__main__":
    sys.exit(main())
