"""cache: the resized pictures, split without leaks, as memory-mapped shards for training."""

import time
from pathlib import Path

from stages import run

OUTS = ("data/cache", "data/origins/cache.csv", "metrics/splits.json", "metrics/plots/classes.csv")


def main() -> None:
    from faceseg.params import read_params
    from faceseg.running.room import room_for
    from faceseg.sources import catalog
    from faceseg.store.cached import Description, write_cache, write_metrics
    from faceseg.store.resized import read_index
    from faceseg.store.splits import assign

    params = read_params()
    resize, cache = params.resize, params.cache
    resized = Path("data/resized")
    merge = catalog.load(params.dataset.name, params.dataset.folder).merge(params.merge.into)
    about = Description(
        dataset=params.dataset.name,
        size=resize.size,
        fit=resize.fit,
        classes=merge.classes,
        colours=merge.colours,
        mirror=merge.mirror,
    )

    began = time.perf_counter()
    rows = read_index(resized)
    split_of = assign(rows, params.split, params.dataset.limit, merge.classes)
    # The last build stays until the new one is whole, so all of it is needed anew.
    pixels = sum(row.clip in split_of for row in rows) * resize.size**2
    with room_for("the cache", {Path("data/cache"): 4 * pixels}):
        written = write_cache(
            resized,
            Path("data/cache"),
            about,
            split_of,
            cache.shard_size,
            params.compute.workers,
            Path("data/origins/cache.csv"),
        )
    write_metrics(written, Path("metrics/splits.json"), Path("metrics/plots/classes.csv"))
    for split, names in written.absent.items():
        if names:
            print(f"the {split} split has no picture of {', '.join(names)}")
    seconds = time.perf_counter() - began
    sizes = ", ".join(f"{pictures} {split}" for split, pictures in written.pictures.items())
    print(
        f"cache: {sizes} pictures, {len(written.leaks)} leaks between splits, "
        f"{sum(written.pictures.values()) / seconds:.1f} pictures/s, {seconds:.0f} s in all"
    )


if __name__ == "__main__":
    run("cache", main, OUTS)
