"""train: the cache in, a model out; every epoch goes to the curves and, as it happens, to the journal and MLflow."""

import time
from pathlib import Path

from stages import run

OUTS = ("models", "metrics/train.json", "metrics/plots/curves.csv")


def main() -> None:
    from faceseg.quiet import import_tensorflow

    import_tensorflow()
    from faceseg.params import read_params
    from faceseg.tracking import Tracker, cache_datasets, flatten, repository_root, run_tags
    from faceseg.training.initial import initial_folder
    from faceseg.training.train import Outputs, train

    params = read_params()
    root = repository_root()
    outputs = Outputs(models=Path("models"), metrics=Path("metrics"))
    # The run shows every parameter that it came from, not the stage's own alone.
    everything = read_params().model_dump(exclude={"evaluate", "compute"})
    datasets = cache_datasets(Path("data/cache"), Path("data/raw"), ("train", "val"))

    began = time.perf_counter()
    # Relative to the working directory, as DVC's own check of the dependency is.
    initial = initial_folder(params.model.init_from, Path.cwd())
    runs = root / ".faceseg" / "runs"
    with Tracker(root, flatten(everything), run_tags(Path.cwd()), datasets) as tracker:
        trained = train(Path("data/cache"), params.model, params.train, runs, outputs, tracker, initial)
        tracker.trained(trained.model_sha256, {"curves.csv": outputs.curves, "model.json": outputs.description})

    kept = trained.kept
    score = f"val mIoU {kept.val_iou:.3f}" if kept.val_iou is not None else f"train mIoU {kept.iou:.3f}"
    print(
        f"train: {trained.parameters / 1e6:.1f} million parameters, {len(trained.epochs)} epochs, "
        f"kept epoch {kept.epoch} with {score}, "
        f"{trained.epochs[-1].images_per_second:.1f} pictures/s, {time.perf_counter() - began:.0f} s in all"
    )


if __name__ == "__main__":
    run("train", main, OUTS, ends_itself=True)
