"""Cross-validation inside a dataset's training split: what a recipe is worth, without a look at a test picture.

The clips that the recipe would train on are dealt into folds. Each fold is held out once: the others train a model by
the pipeline's own functions, and the held-out pictures are scored at native size, as the evaluate stage scores test
pictures. The cache of a fold holds no picture of the test split, so none can be seen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faceseg.evaluation.evaluate import evaluate
from faceseg.evaluation.originals import Originals
from faceseg.evaluation.predict import load_model, read_description
from faceseg.evaluation.views import Views, with_views
from faceseg.objectives.metrics import Scores
from faceseg.params import Params
from faceseg.sources import catalog
from faceseg.sources.fetch import fetch
from faceseg.store.cached import Description, write_cache
from faceseg.store.merged import write_merged
from faceseg.store.resized import read_index, write_resized
from faceseg.store.shards import Cache
from faceseg.store.splits import assign, fraction
from faceseg.training.checkpoint import forget
from faceseg.training.initial import initial_folder
from faceseg.training.loop import Epoch
from faceseg.training.train import Outputs, train

HELD_OUT = "test"  # what the evaluation scores


@dataclass(frozen=True)
class Fold:
    """What the held-out clips of one fold showed.

    Attributes:
        number: from 1.
        clips: held out.
        classes: names by id.
        plain: (K, K) int64, pixels at native size, actual by predicted.
        viewed: the same with the views of ``evaluate.flip`` and ``evaluate.scales``; None where they ask for none.
    """

    number: int
    clips: tuple[str, ...]
    classes: tuple[str, ...]
    plain: np.ndarray
    viewed: np.ndarray | None


class _Silent:
    """Training's observer, where nobody listens: the loop itself prints a line an epoch."""

    def start(self, fingerprint: str) -> None: ...

    def epoch(self, epoch: Epoch) -> None: ...


def deal(clips: Sequence[str], folds: int, seed: int) -> list[tuple[str, ...]]:
    """The clips in the order of their hash with ``seed``, dealt like cards: ``folds`` tuples, sizes at most one apart.

    Raises:
        ValueError: fewer than two folds, or fewer clips than folds.
    """
    if not 2 <= folds <= len(clips):
        raise ValueError(f"{folds} folds of {len(clips)} training clips: expected 2 to {len(clips)}")
    ordered = sorted(clips, key=lambda clip: (fraction(seed, clip), clip))
    return [tuple(sorted(ordered[start::folds])) for start in range(folds)]


def cross_validate(params: Params, folds: int, chosen: Sequence[int], folder: Path, root: Path) -> Iterator[Fold]:
    """Train and score fold after fold.

    Args:
        params: of the run whose worth is asked for; ``split.val`` of its training clips stay unused, as there.
        folds: how many, of about equal size.
        chosen: numbers of the folds to run, from 1; empty: all.
        folder: where data and models go; a second call takes over the data that fits, and a killed fold goes on.
        root: what a relative source is relative to.

    Raises:
        ValueError: ``train.keep`` is not ``last``, a fold that does not exist, or what the stages raise.
    """
    if params.train.keep != "last" or params.train.schedule.name == "plateau":
        raise ValueError(
            f"train.keep is {params.train.keep!r} and train.schedule.name is {params.train.schedule.name!r}: a fold "
            "has no pictures but those held out, and they may not choose; set keep to 'last' and a schedule that is "
            "not 'plateau'"
        )
    clips = _prepare(params, folder, root)
    dealt = deal(clips, folds, params.split.seed)
    foreign = sorted(set(chosen) - set(range(1, folds + 1)))
    if foreign:
        raise ValueError(f"there is no fold {foreign[0]}: expected 1 to {folds}")
    for number in chosen or range(1, folds + 1):
        yield _fold(params, number, clips, dealt[number - 1], folder, root)


def pooled(folds: Sequence[Fold]) -> tuple[Scores, Scores | None]:
    """Scores over the held-out pictures of all folds, plain and with the views: summed first, divided once."""
    classes = folds[0].classes
    plain = Scores.from_confusion(np.sum([fold.plain for fold in folds], axis=0), classes)
    viewed = [fold.viewed for fold in folds if fold.viewed is not None]
    return plain, Scores.from_confusion(np.sum(viewed, axis=0), classes) if viewed else None


def line(what: str, plain: Scores, viewed: Scores | None) -> str:
    """One line for people: both scores, and the IoU of each class, with the views where there are any."""
    last = plain if viewed is None else viewed
    classes = ", ".join(f"{name} {values['iou']:.3f}" for name, values in last.to_dict()["per_class"].items())
    text = f"{what}: mIoU {plain.miou:.4f}, pixel accuracy {plain.pixel_accuracy:.4f}"
    if viewed is not None:
        text += f"; with the recipe's flip and scales {viewed.miou:.4f}, {viewed.pixel_accuracy:.4f}"
    return f"{text} ({classes})"


def _prepare(params: Params, folder: Path, root: Path) -> list[str]:
    """Download, merge and resize as the stages do; the clips of the training split."""
    dataset = catalog.load(params.dataset.name, params.dataset.folder)
    workers = params.compute.workers
    raw, merged, resized, origins = folder / "raw", folder / "merged", folder / "resized", folder / "origins"
    fetch(dataset, params.dataset.source, root, raw, params.dataset.synthetic, workers)
    write_merged(raw / "dataset.zip", merged, dataset, params.merge, workers, origins / "merge.csv")
    write_resized(raw / "dataset.zip", merged, resized, params.resize, workers, origins / "resize.csv")
    classes = dataset.merge(params.merge.into).classes
    split_of = assign(read_index(resized), params.split, params.dataset.limit, classes)
    return [clip for clip, split in split_of.items() if split == "train"]


def _fold(
    params: Params, number: int, clips: Sequence[str], held_out: tuple[str, ...], folder: Path, root: Path
) -> Fold:
    merge = catalog.load(params.dataset.name, params.dataset.folder).merge(params.merge.into)
    about = Description(
        params.dataset.name, params.resize.size, params.resize.fit, merge.classes, merge.colours, merge.mirror
    )
    here = folder / f"fold-{number}"
    split_of = {clip: HELD_OUT if clip in held_out else "train" for clip in clips}
    write_cache(folder / "resized", here / "cache", about, split_of, params.cache.shard_size, params.compute.workers)
    outputs = Outputs(models=here / "models", metrics=here / "metrics")
    initial = initial_folder(params.model.init_from, root)
    train(here / "cache", params.model, params.train, here / "runs", outputs, _Silent(), initial)
    cache = Cache.open(here / "cache")
    model = load_model(outputs.models, cache)
    views = Views(params.evaluate.flip, tuple(params.evaluate.scales))
    with Originals(folder / "raw" / "dataset.zip", folder / "merged") as originals:
        plain, *viewed = [
            evaluate(network, cache, originals, params.evaluate.batch_size).native.sum(axis=0)
            for network in ([model] if views.plain else [model, with_views(model, cache.mirror, views)])
        ]
    forget(here / "runs", read_description(outputs.models)["made_from"])
    return Fold(number, held_out, tuple(merge.classes), plain, viewed[0] if viewed else None)
