"""How many one-megapixel pictures a second merge, resize and cache handle, beside the ancestors' way and the floor.

    .venv/bin/python benchmarks/data_stages.py --pictures 1000 --workers 2

The stages run as DVC runs them, each in a process of its own, so their start counts. The ancestors' functions run in
this process, so theirs does not. The download stage, which copies and hashes the archive, is shown apart.
"""

import argparse
import io
import resource
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import ancestors
import numpy as np
import workspace
from PIL import Image

SIZE = 256  # resize.size of params.yaml
WIDTH, HEIGHT = 1152, 896  # 1.03 megapixels
STAGES = ("merge", "resize", "cache")
TARGET = 60  # pictures a second, the three stages together, on two cores


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def of_stages(folder: Path) -> dict[str, float]:
    """Seconds of each stage."""
    return {stage: seconds(lambda stage=stage: workspace.run(stage, folder)) for stage in STAGES}


def cores_seconds() -> float:
    """Seconds that all cores together have worked for the processes that this one started and saw end."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def of_ancestors(archive: Path, folder: Path) -> dict[str, float]:
    """Seconds of each step, as the ancestors took it."""
    merged, resized = folder / "merged", folder / "resized"
    return {
        "merge": seconds(lambda: ancestors.merge(archive, merged)),
        "resize": seconds(lambda: ancestors.resize(archive, merged, resized, SIZE)),
        "cache": seconds(lambda: ancestors.cache(resized, folder / "cache")),
    }


def of_floor(archive: Path) -> float:
    """Seconds of one core for a picture that nobody can go below: the JPEG at the scale in use, the mask, the bytes.

    Every coded bit is read twice, once to find what is broken (merge) and once for the pixels (resize).
    """
    with zipfile.ZipFile(archive) as members:
        names = [name for name in members.namelist() if "/image/" in name][: workspace.DISTINCT]
        pictures = [members.read(name) for name in names]
        masks = [members.read(name.replace("/image/", "/seg/").replace(".jpg", ".png")) for name in names]

    def decode() -> None:
        for picture, mask in zip(pictures, masks, strict=True):
            for mode, side in (("L", 1), ("RGB", 3 * SIZE // 2)):
                image = Image.open(io.BytesIO(picture))
                image.draft(mode, (side, side))
                image.load()
            Image.open(io.BytesIO(mask)).load()
            np.zeros((SIZE, SIZE, 4), np.uint8).tobytes()

    return min(seconds(decode) for _ in range(3)) / len(names)


def show(label: str, pictures: int, took: dict[str, float]) -> None:
    rates = "  ".join(f"{stage} {pictures / took[stage]:6.1f}" for stage in STAGES)
    print(f"{label:22} {rates}  together {pictures / sum(took.values()):6.1f} pictures/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--mask-filter", choices=("nearest", "majority"), default="nearest")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "work"
        archive = Path(temporary) / "set.zip"
        workspace.generate(archive, options.pictures, WIDTH, HEIGHT)
        workspace.prepare(folder, archive, options.workers, options.mask_filter)
        download = seconds(lambda: workspace.run("download", folder))
        idle = cores_seconds()
        ours = of_stages(folder)
        worked = cores_seconds() - idle
        theirs = of_ancestors(archive, Path(temporary) / "ancestors")
        floor = of_floor(archive)
        kilobytes = archive.stat().st_size / options.pictures / 1e3

    together, before = sum(ours.values()), sum(theirs.values())
    print(f"\n{options.pictures} pictures of {WIDTH} x {HEIGHT}, {kilobytes:.0f} kB each with their mask")
    show(f"faceseg, {options.workers} workers", options.pictures, ours)
    show("the ancestors' way", options.pictures, theirs)
    print("ratio                  " + "  ".join(f"{s} {theirs[s] / ours[s]:6.1f}" for s in STAGES), end="")
    print(f"  together {before / together:6.1f}")
    spent = worked / options.pictures
    print(f"download, before them: {download:.1f} s, {options.pictures / download:.1f} pictures/s")
    print(f"floor: decoding alone takes {floor * 1e3:.1f} ms of a core a picture; the stages worked", end="")
    print(f" {spent * 1e3:.1f} ms, their start included ({spent / floor:.1f} times the floor)")
    print(f"target: {TARGET} pictures/s; reached {options.pictures / together / TARGET:.2f} times")


if __name__ == "__main__":
    main()
