"""What 1 % new pictures cost beside a build of everything: merge, resize and cache, and the floor of their start.

    .venv/bin/python benchmarks/growth.py --pictures 2000 --workers 2

The stages run as DVC runs them, each in a process of its own. DVC's own hashing is not in these figures; what it
costs at most is shown. The new clips are spread over the ids, so that rows move within the shards.
"""

import argparse
import hashlib
import resource
import shutil
import tempfile
import time
import zipfile
from pathlib import Path

import workspace

WIDTH, HEIGHT = 1152, 896  # 1.03 megapixels
STAGES = ("merge", "resize", "cache")


def seconds(folder: Path) -> dict[str, float]:
    """Of each stage, run in ``folder``; and ``cores``: what all cores together have worked for them."""
    took = {}
    before = worked()
    for stage in STAGES:
        began = time.perf_counter()
        workspace.run(stage, folder)
        took[stage] = time.perf_counter() - began
    return {**took, "cores": worked() - before}


def worked() -> float:
    """Seconds that all cores have worked for the processes that this one started and saw end."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def together(took: dict[str, float]) -> float:
    return sum(took[stage] for stage in STAGES)


def without(archive: Path, smaller: Path, part: int) -> int:
    """Write ``archive`` without every ``part``-th clip; how many pictures are left."""
    left = 0
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(smaller, "w", zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            if int(Path(name).stem.split("_")[0]) % part != part // 2:
                target.writestr(zipfile.ZipInfo(name), source.read(name))
                left += "/image/" in name
    return left


def digests(folder: Path) -> dict[str, str]:
    """sha256 of every output by its path."""
    outputs = [
        path for name in ("merged", "resized", "cache", "origins") for path in (folder / "data" / name).rglob("*")
    ]
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in outputs
        if path.is_file()
    }


def hashing(folder: Path) -> float:
    """Seconds to md5 every output once, as DVC does with files whose date has changed."""
    began = time.perf_counter()
    for path in (folder / "data").rglob("*"):
        if path.is_file() and "raw" not in path.parts:
            with path.open("rb") as file:
                hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    return time.perf_counter() - began


def show(label: str, took: dict[str, float]) -> None:
    each = "  ".join(f"{stage} {took[stage]:6.1f}" for stage in STAGES)
    print(f"{label:30} {each}  together {together(took):6.1f} s  cores {took['cores']:6.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--part", type=int, default=100, help="every so manieth clip is new")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        whole = Path(temporary) / "whole.zip"
        workspace.generate(whole, options.pictures, WIDTH, HEIGHT)
        grown, fresh, bare = (Path(temporary) / name for name in ("grown", "fresh", "bare"))
        for folder in (grown, fresh, bare):
            workspace.prepare(folder, whole, options.workers)
            (folder / "data" / "raw").mkdir(parents=True)
        left = without(whole, grown / "data/raw/dataset.zip", options.part)
        first = seconds(grown)
        shutil.copy(whole, grown / "data/raw/dataset.zip")
        growth = seconds(grown)
        md5 = hashing(grown)
        shutil.copy(whole, fresh / "data/raw/dataset.zip")
        full = seconds(fresh)
        same = digests(grown) == digests(fresh)
        workspace.generate(bare / "data/raw/dataset.zip", 40, 64, 48)
        start = seconds(bare)

    new = options.pictures - left
    print(f"\n{options.pictures} pictures of {WIDTH} x {HEIGHT}, {new} of them new ({new / options.pictures:.1%})")
    show("without them, from nothing", first)
    show("with them, grown", growth)
    show("with them, from nothing", full)
    show("start-up (40 tiny pictures)", start)
    spent, worked_more = together(growth) - together(start), growth["cores"] - start["cores"]
    print(f"grown, less start-up: {spent:.1f} s, {spent / together(full):.1%} of a build from nothing (target: 5 %)")
    print(f"cores' time, which is steadier: {worked_more:.1f} s, {worked_more / full['cores']:.1%}")
    print(f"byte for byte what a build from nothing gives: {same}; md5 of all outputs, once: {md5:.1f} s")


if __name__ == "__main__":
    main()
