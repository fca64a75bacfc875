"""evaluate: the model on the test split, at the training size and at native size; sample pictures and the report."""

import os
import time
from pathlib import Path

from stages import run


def main() -> None:
    from faceseg.quiet import import_tensorflow

    import_tensorflow()
    from faceseg.evaluation.evaluate import evaluate, write_scores, write_summary
    from faceseg.evaluation.originals import Originals
    from faceseg.evaluation.predict import load_model, read_description, with_mirror_image
    from faceseg.evaluation.report import Sources, write_report
    from faceseg.evaluation.samples import draw_samples
    from faceseg.files import read_json
    from faceseg.params import read_params
    from faceseg.store.shards import Cache
    from faceseg.tracking import Tracker, repository_root
    from faceseg.training import setup

    params = read_params()
    models, metrics, reports = Path("models"), Path("metrics"), Path("reports")
    raw = Path("data/raw/dataset.zip")

    began = time.perf_counter()
    # In float32, whatever the training's precision was; the seed is that of weights which the trained ones replace.
    setup.prepare(seed=0, precision="float32", deterministic=True)
    cache = Cache.open(Path("data/cache"))
    model = load_model(models, cache)
    if params.evaluate.flip:
        model = with_mirror_image(model, cache.mirror)
    with Originals(raw, Path("data/merged")) as originals:
        evaluation = evaluate(model, cache, originals, params.evaluate.batch_size)
        samples = draw_samples(evaluation, model, cache, originals, params.evaluate.samples, reports / "samples")
    write_scores(evaluation, metrics / "evaluate.json", metrics / "plots" / "confusion.csv", metrics / "clips.csv")
    write_summary(metrics / "summary.json", evaluation, read_json(metrics / "train.json"))
    write_report(reports / "report.html", evaluation, samples, cache, Sources(raw.parent, models, metrics))
    seconds = time.perf_counter() - began

    tracker = Tracker(repository_root(), {}, {"dvc.exp": os.environ.get("DVC_EXP_NAME", "workspace")})
    if tracker.find(read_description(models)["weights_sha256"]):
        tracker.evaluated(evaluation.headlines(), [metrics / "evaluate.json", reports / "report.html"])

    scores = evaluation.native_scores
    print(
        f"evaluate: {len(evaluation.ids)} test pictures, mIoU {scores.miou:.3f}, pixel accuracy "
        f"{scores.pixel_accuracy:.3f} at native size; pictures in {reports / 'samples'}, page "
        f"{reports / 'report.html'}; {len(evaluation.ids) / seconds:.1f} pictures/s, {seconds:.0f} s in all"
    )


if __name__ == "__main__":
    run(main)
