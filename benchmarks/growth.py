"""What 1 % new pictures cost beside a build of everything: merge, resize and cache, and the floor of their start.

    .venv/bin/python benchmarks/growth.py --pictures 2000 --workers 2

The stages run as DVC runs them, each in a process of its own. The download stage before them copies and hashes the
whole source, whatever has changed in it; it is shown apart, and counted in a figure of its own. DVC's own hashing is in
none; what it costs at most is shown. The new clips are spread over the ids, so that rows move within the shards.
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

Took = dict[str, tuple[float, float]]  # by stage: seconds, and seconds that all cores together have worked


def build(folder: Path, source: Path, workers: int) -> Took:
    """Run all four stages in ``folder`` on the archive ``source``; DVC removes what the download left before."""
    workspace.prepare(folder, source, workers)
    shutil.rmtree(folder / "data" / "raw", ignore_errors=True)
    took = {}
    for stage in ("download", *STAGES):
        began, before = time.perf_counter(), worked()
        workspace.run(stage, folder)
        took[stage] = time.perf_counter() - began, worked() - before
    return took


def worked() -> float:
    """Seconds that all cores have worked for the processes that this one started and saw end."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def without(archive: Path, smaller: Path, part: int) -> int:
    """Write ``archive`` without every ``part``-th clip; how many pictures are left."""
    left = 0
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(smaller, "w", zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            if int(Path(name).stem.split("_")[0]) % part != part // 2:
                target.writestr(zipfile.ZipInfo(name), source.read(name))
                left += "/image/" in name
    return left


def outputs(folder: Path) -> list[Path]:
    """The files that merge, resize and cache have made."""
    found = [path for name in ("merged", "resized", "cache", "origins") for path in (folder / "data" / name).rglob("*")]
    return sorted(path for path in found if path.is_file())


def digests(folder: Path) -> dict[str, str]:
    """sha256 of every output by its path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in outputs(folder)
    }


def identities(folder: Path) -> dict[Path, tuple[int, ...]]:
    """What DVC knows a file by that it has hashed before."""
    stats = {path: path.stat() for path in outputs(folder)}
    return {path: (stat.st_ino, stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}


def hashing(paths: list[Path]) -> float:
    """Seconds to md5 files once, as DVC does with those whose date has changed."""
    began = time.perf_counter()
    for path in paths:
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    return time.perf_counter() - began


def total(took: Took, which: int, stages: tuple[str, ...] = STAGES) -> float:
    return sum(took[stage][which] for stage in stages)


def show(label: str, took: Took) -> None:
    for name, which in (("s", 0), ("s of cores", 1)):
        each = "  ".join(f"{stage} {took[stage][which]:6.2f}" for stage in took)
        print(f"{label:28} {each}  without download {total(took, which):6.2f} {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--part", type=int, default=100, help="every so manieth clip is new")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        workspace.generate(root / "whole.zip", options.pictures, WIDTH, HEIGHT)
        left = without(root / "whole.zip", root / "less.zip", options.part)
        workspace.generate(root / "tiny.zip", 40, 64, 48)
        first = build(root / "grown", root / "less.zip", options.workers)
        before = identities(root / "grown")
        growth = build(root / "grown", root / "whole.zip", options.workers)
        after = identities(root / "grown")
        changed = [path for path in after if before.get(path) != after[path]]
        md5 = hashing(changed), sum(path.stat().st_size for path in changed) / 1e6, len(after) - len(changed)
        full = build(root / "fresh", root / "whole.zip", options.workers)
        same = digests(root / "grown") == digests(root / "fresh")
        build(root / "bare", root / "tiny.zip", options.workers)
        start = build(root / "bare", root / "tiny.zip", options.workers)
        megabytes = (root / "whole.zip").stat().st_size / 1e6, sum(p.stat().st_size for p in after) / 1e6

    new = options.pictures - left
    print(
        f"\n{options.pictures} pictures of {WIDTH} x {HEIGHT}, {new} of them new ({new / options.pictures:.1%}); ",
        end="",
    )
    print(f"the archive has {megabytes[0]:.0f} MB, the outputs {megabytes[1]:.0f} MB")
    for label, took in (
        ("without them, from nothing", first),
        ("with them, grown", growth),
        ("with them, from nothing", full),
        ("start-up (40 tiny, none new)", start),
    ):
        show(label, took)
    for unit, which in (("time", 0), ("cores' time, which is steadier", 1)):
        more = total(growth, which) - total(start, which)
        everything = ("download", *STAGES)
        also = total(growth, which, everything) - total(start, which, everything)
        print(
            f"grown, less start-up, {unit}: {more:.2f} s, {more / total(full, which):.1%} of a build from nothing "
            f"(target: 5 %); with the download in both {also / total(full, which, everything):.1%}"
        )
    print(f"byte for byte what a build from nothing gives: {same}")
    print(f"DVC hashes {md5[1]:.0f} MB of changed files, {md5[0]:.1f} s of md5; {md5[2]} of {len(after)} files stayed")


if __name__ == "__main__":
    main()
