"""How much a class weighs, from how often it occurs in the training split."""

from collections.abc import Mapping, Sequence

import numpy as np

from faceseg.params import ClassWeights


def class_weights(how: ClassWeights, classes: Sequence[str], pixels: Mapping[str, int]) -> list[float] | None:
    """One weight a class, or None: all the same.

    ``inverse`` is 1 / (K f) with f the class's part of the scored pixels, as scikit-learn's "balanced" is. ``median``
    is the median of the f divided by f (Eigen and Fergus, ICCV 2015; their f counts the pixels of only those pictures
    that hold the class). A class without a pixel has weight 0: nothing can be learnt of it.

    Args:
        how: ``none``, ``inverse``, ``median``, or a weight for every class by its name.
        classes: names by id.
        pixels: of each class in the training split, as cache.json counts them.

    Raises:
        ValueError: given weights leave a class out or name another one.
    """
    if how == "none":
        return None
    if isinstance(how, dict):
        if set(how) != set(classes):
            raise ValueError(
                f"train.class_weights names {', '.join(how)}, expected a weight for each of {', '.join(classes)}"
            )
        return [how[name] for name in classes]
    counts = np.array([pixels[name] for name in classes], np.float64)
    there = counts > 0
    scale = counts.sum() / there.sum() if how == "inverse" else np.median(counts[there])
    return [float(weight) for weight in np.where(there, scale / np.maximum(counts, 1), 0)]
