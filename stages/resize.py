"""resize: every merged picture and its mask at the training size, lossless and viewable, in packs."""

import time
from pathlib import Path

from stages import run

OUTS = ("data/resized", "data/origins/resize.csv")


def main() -> None:
    from faceseg.params import read_params
    from faceseg.running.room import room_for, still_to_write
    from faceseg.store.resized import least_bytes, write_resized

    params = read_params()
    resize = params.resize
    began = time.perf_counter()
    merged, out = Path("data/merged"), Path("data/resized")
    with room_for("resize", {out: still_to_write(out, least_bytes(merged, resize.size))}):
        pictures = write_resized(
            raw=Path("data/raw/dataset.zip"),
            merged=merged,
            out=out,
            params=resize,
            workers=params.compute.workers,
            origins=Path("data/origins/resize.csv"),
        )
    seconds = time.perf_counter() - began
    print(
        f"resize: {pictures} pictures of {resize.size} x {resize.size} ({resize.fit}, {resize.mask_filter} masks), "
        f"{pictures / seconds:.1f} pictures/s, {seconds:.0f} s in all"
    )


if __name__ == "__main__":
    run("resize", main, OUTS)
