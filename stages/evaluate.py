"""evaluate: the model on the test split, at the training size and at native size; sample pictures and the report."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages import run

RAW = Path("data/raw/dataset.zip")
MODELS, METRICS, REPORTS = Path("models"), Path("metrics"), Path("reports")
OUTS = ("metrics/evaluate.json", "metrics/summary.json", "metrics/plots/confusion.csv", "metrics/clips.csv", "reports")
SAMPLE_BYTES = 50_000  # of a strip and its place in the report, at least; 150,000 to 260,000 were measured


def main() -> None:
    from faceseg.quiet import import_tensorflow

    import_tensorflow()
    from faceseg.evaluation.confusion_picture import draw_confusion
    from faceseg.evaluation.evaluate import evaluate, write_scores, write_summary
    from faceseg.evaluation.originals import Originals
    from faceseg.evaluation.predict import load_model, read_description
    from faceseg.evaluation.report import Sources, write_report
    from faceseg.evaluation.samples import draw_samples
    from faceseg.evaluation.views import Views, with_views
    from faceseg.files import atomic_write, read_json
    from faceseg.params import read_params
    from faceseg.running.room import room_for
    from faceseg.store.shards import Cache
    from faceseg.tracking import repository_root
    from faceseg.training import setup
    from faceseg.training.checkpoint import forget

    params = read_params()

    began = time.perf_counter()
    # In float32, whatever the training's precision was; the seed is that of weights which the trained ones replace.
    setup.prepare(seed=0, precision="float32", deterministic=True)
    cache = Cache.open(Path("data/cache"))
    views = Views(params.evaluate.flip, tuple(params.evaluate.scales))
    model = with_views(load_model(MODELS, cache), cache.mirror, views)
    # The model is DVC's now: nobody needs what its training could go on from.
    forget(repository_root() / ".faceseg" / "runs", read_description(MODELS)["made_from"])
    with (
        room_for("the evaluation", {REPORTS: SAMPLE_BYTES * params.evaluate.samples}),
        Originals(RAW, Path("data/merged")) as originals,
    ):
        evaluation = evaluate(model, cache, originals, params.evaluate.batch_size)
        samples = draw_samples(evaluation, model, cache, originals, params.evaluate.samples, REPORTS / "samples")
        write_scores(evaluation, METRICS / "evaluate.json", METRICS / "plots" / "confusion.csv", METRICS / "clips.csv")
        write_summary(METRICS / "summary.json", evaluation, read_json(METRICS / "train.json"))
        write_report(REPORTS / "report.html", evaluation, samples, cache, Sources(RAW.parent, MODELS, METRICS))
        with atomic_write(REPORTS / "confusion.png") as file:
            draw_confusion(evaluation.native.sum(axis=0), evaluation.classes).save(file, "PNG", optimize=True)
    seconds = time.perf_counter() - began

    _tell_mlflow(evaluation, samples, cache, params)

    scores = evaluation.native_scores
    print(
        f"evaluate: {len(evaluation.ids)} test pictures, mIoU {scores.miou:.3f}, pixel accuracy "
        f"{scores.pixel_accuracy:.3f} at native size; pictures in {REPORTS / 'samples'}, page "
        f"{REPORTS / 'report.html'}; {len(evaluation.ids) / seconds:.1f} pictures/s, {seconds:.0f} s in all"
    )


def _tell_mlflow(evaluation: Any, samples: Sequence[Any], cache: Any, params: Any) -> None:
    """The evaluation, and the model with it, to the run of the model's training."""
    from faceseg.evaluation.predict import DESCRIPTION, WEIGHTS, read_description
    from faceseg.tracking import Evaluated, Tracker, cache_datasets, flatten, repository_root

    tracker = Tracker(repository_root(), {}, {})
    if not tracker.find(read_description(MODELS)["weights_sha256"]):
        print("evaluate: this model was not trained in this repository, so its evaluation is not in MLflow")
        return
    tracker.evaluated(
        Evaluated(
            metrics=evaluation.headlines(),
            files={
                "evaluation/evaluate.json": METRICS / "evaluate.json",
                "evaluation/clips.csv": METRICS / "clips.csv",
                "evaluation/confusion.csv": METRICS / "plots" / "confusion.csv",
                "evaluation/confusion.png": REPORTS / "confusion.png",
                "report.html": REPORTS / "report.html",
                **{f"samples/{sample.path.name}": sample.path for sample in samples},
            },
            weights=MODELS / WEIGHTS,
            description=MODELS / DESCRIPTION,
            dataset=cache.dataset,
            flip=params.evaluate.flip,
            scales=params.evaluate.scales,
            tags=flatten({"evaluate": params.evaluate.model_dump()}),
            datasets=cache_datasets(cache.folder, RAW.parent, ("test",)),
        )
    )


if __name__ == "__main__":
    run("evaluate", main, OUTS)
