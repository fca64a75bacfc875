"""download: the dataset, whatever its source, as one archive under data/raw, which is never extracted."""

import time
from pathlib import Path

from stages import run

OUTS = ("data/raw",)


def main() -> None:
    from faceseg.params import read_params
    from faceseg.sources import catalog
    from faceseg.sources.fetch import fetch

    params = read_params()
    dataset = catalog.load(params.dataset.name, params.dataset.folder)

    began = time.perf_counter()
    # Relative to the working directory, as DVC's own check of the dependency is: what is fetched is what DVC hashed,
    # also in an experiment that DVC runs in a folder of its own.
    fetched = fetch(
        dataset, params.dataset.source, Path.cwd(), Path("data/raw"), params.dataset.synthetic, params.compute.workers
    )

    seconds = time.perf_counter() - began
    megabytes = fetched.bytes / 1e6
    print(
        f"download: {dataset.name}, {fetched.members} files in data/raw/dataset.zip, {megabytes:.1f} MB, "
        f"{megabytes / seconds:.1f} MB/s, {seconds:.0f} s in all"
    )


if __name__ == "__main__":
    run("download", main, OUTS)
