"""Peak memory of the data stages at few and at many pictures: it must not grow with their number.

    .venv/bin/python benchmarks/memory.py --few 200 --many 2000 --workers 2

Memory is the resident memory of a stage's process and all its workers together, sampled; pages that they share count
once for each, so it is an upper bound.
"""

import argparse
import tempfile
import time
from pathlib import Path

import psutil
import workspace

WIDTH, HEIGHT = 320, 256
STAGES = ("download", "merge", "resize", "cache")
INTERVAL_SECONDS = 0.02


def peak_bytes(stage: str, folder: Path) -> int:
    """The highest resident memory of the stage's process tree, in bytes.

    Raises:
        RuntimeError: when the stage fails.
    """
    running = workspace.start(stage, folder)
    root = psutil.Process(running.pid)
    peak = 0
    while running.poll() is None:
        peak = max(peak, resident_bytes(root))
        time.sleep(INTERVAL_SECONDS)
    if running.returncode:
        raise RuntimeError(f"the stage {stage} failed with exit status {running.returncode}")
    return peak


def resident_bytes(root: psutil.Process) -> int:
    """Resident memory of a process and its descendants; those that end meanwhile count nothing."""
    total = 0
    try:
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in family:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def measure(pictures: int, workers: int) -> dict[str, int]:
    """Peak bytes of each stage over ``pictures`` generated pictures."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, archive = Path(temporary) / "work", Path(temporary) / "set.zip"
        workspace.generate(archive, pictures, WIDTH, HEIGHT)
        workspace.prepare(folder, archive, workers)
        return {stage: peak_bytes(stage, folder) for stage in STAGES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", type=int, default=200)
    parser.add_argument("--many", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    few, many = measure(options.few, options.workers), measure(options.many, options.workers)
    print(f"\npeak memory of the process tree, {options.workers} workers, pictures of {WIDTH} x {HEIGHT}")
    for stage in STAGES:
        print(
            f"{stage:10} {few[stage] / 1e6:7.0f} MB at {options.few}   {many[stage] / 1e6:7.0f} MB at {options.many}"
            f"   difference {(many[stage] - few[stage]) / 1e6:+.0f} MB"
        )


if __name__ == "__main__":
    main()
