"""A picture alone, from its file, is labelled as the evaluation labels it from the cache."""

import io
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from faceseg.evaluation.evaluate import labels_of
from faceseg.evaluation.parser import FaceParser
from faceseg.evaluation.predict import logits_at
from faceseg.images.codec import BrokenImageError
from faceseg.images.geometry import Fit
from faceseg.sources.archive import Archive
from tests.evaluation.staged import CLASSES, COLOURS, SIZE, stage


def parser_of(network: keras.Model, fit: Fit) -> FaceParser:
    return FaceParser(network, SIZE, fit, CLASSES, COLOURS)


@pytest.mark.parametrize("fit", ["stretch", "pad"])
@pytest.mark.parametrize(("scale", "kind"), [(1, "PNG"), (4, "JPEG")])  # a JPEG of that size is decoded at a part of it
def test_the_labels_are_those_of_the_evaluation(
    tmp_path: Path, network: keras.Model, fit: Fit, scale: int, kind: str
) -> None:
    staged = stage(tmp_path, fit, scale, kind)
    cache = staged.cache()
    split = cache.split("test")
    with Archive(tmp_path / "raw" / "dataset.zip") as archive:
        for row, sample in enumerate(split.ids):
            size = int(split.sizes[row, 0]), int(split.sizes[row, 1])
            labels = parser_of(network, fit).labels(archive.read(f"all/{sample}.png"))
            assert labels.shape == size[::-1]
            np.testing.assert_array_equal(labels, labels_of(logits_at(network, split, row), size, cache))


def test_a_picture_that_lies_on_its_side_is_labelled_upright(network: keras.Model) -> None:
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:, :15, 0], pixels[:, 15:, 1] = 200, 200  # red left, green right
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise: the left side comes to the top
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", exif=exif)
    labels = parser_of(network, "stretch").labels(buffer.getvalue())
    assert labels.shape == (30, 20)
    assert (labels[:12] == CLASSES.index("red")).all()
    assert (labels[-12:] == CLASSES.index("green")).all()


@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_what_is_no_picture_is_named(network: Any, content: bytes) -> None:
    with pytest.raises(BrokenImageError, match="not a readable picture"):
        parser_of(network, "stretch").labels(content)
