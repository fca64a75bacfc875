"""resize: every merged picture and its mask at the training size, lossless and viewable, in packs."""

import time
from pathlib import Path

from stages import run


def main() -> None:
    from faceseg.params import read_params
    from faceseg.store.resized import write_resized

    params = read_params()
    resize = params.resize
    began = time.perf_counter()
    pictures = write_resized(
        raw=Path("data/raw/dataset.zip"),
        merged=Path("data/merged"),
        out=Path("data/resized"),
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
    run(main)
