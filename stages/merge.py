"""merge: pairs found, faults set aside, masks in the target classes at native size."""

import time
from pathlib import Path

from stages import run

OUTS = ("data/merged", "data/origins/merge.csv", "metrics/data.json")


def main() -> None:
    from faceseg.files import write_json
    from faceseg.params import read_params
    from faceseg.running.room import room_for, still_to_write
    from faceseg.sources import catalog
    from faceseg.store.merged import least_bytes, write_merged

    params = read_params()
    dataset = catalog.load(params.dataset.name, params.dataset.folder)

    began = time.perf_counter()
    raw, out = Path("data/raw/dataset.zip"), Path("data/merged")
    with room_for("merge", {out: still_to_write(out, least_bytes(raw, dataset))}):
        merged = write_merged(raw, out, dataset, params.merge, params.compute.workers, Path("data/origins/merge.csv"))
    metrics = merged.metrics()
    write_json(Path("metrics/data.json"), metrics)

    for line in merged.named():
        print(f"merge: {line}")
    seconds = time.perf_counter() - began
    of = "" if metrics["expected"] is None else f" of the {metrics['expected']} of the complete dataset"
    print(
        f"merge: {metrics['pictures']} pictures{of} in {metrics['clips']} clips, {len(merged.merge.classes)} classes, "
        f"{metrics['rejected']} rejected, {metrics['unlabelled']} without a label, "
        f"{metrics['pictures'] / seconds:.0f} pictures/s, {seconds:.0f} s in all"
    )


if __name__ == "__main__":
    run("merge", main, OUTS)
