"""A task that a small network learns in seconds: the class is the brightest channel."""

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from faceseg.files import write_csv, write_json
from faceseg.params import TrainParams
from faceseg.store.shard_writer import RowWriter, Shard, lay_out

SIZE = 16
CLASSES = ("red", "green", "blue")
PICTURES = {"train": 12, "val": 5}
ROOT = Path(__file__).parents[2]


def picture(split: str, row: int, size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Blocks of 8 pixels, each of one class; a quarter of the mask is not scored."""
    rng = np.random.default_rng([row, len(split)])
    mask = np.kron(rng.integers(0, 3, (size // 8, size // 8)), np.ones((8, 8), int)).astype(np.uint8)
    image = rng.integers(0, 90, (size, size, 3)).astype(np.uint8)
    image[np.arange(size)[:, None], np.arange(size)[None, :], mask] += 120
    mask[: size // 2, : size // 2] = 255
    return image, mask


def write_cache(folder: Path, *, val: bool = True, size: int = SIZE) -> Path:
    splits = {}
    for name, count in PICTURES.items():
        if name == "val" and not val:
            continue
        lay_out(folder, Shard(name, 0), count, size)
        with RowWriter(folder) as writer:
            for row in range(count):
                writer.write(Shard(name, 0), row, *picture(name, row, size))
        header = ("row", "id", "clip", "width", "height")
        write_csv(folder / name / "index.csv", header, [(row, row, row, size, size) for row in range(count)])
        shard = {"images": "images-00000.npy", "masks": "masks-00000.npy", "rows": count}
        splits[name] = {"pictures": count, "clips": count, "pixels": _pixels(name, size), "shards": [shard]}
    manifest = {
        "dataset": "blocks",
        "size": size,
        "fit": "stretch",
        "classes": list(CLASSES),
        "colours": [[255, 0, 0], [0, 255, 0], [0, 0, 255]],
        "mirror": [],
        "splits": splits,
    }
    write_json(folder / "cache.json", manifest)
    return folder


def _pixels(split: str, size: int) -> dict[str, int]:
    masks = np.stack([picture(split, row, size)[1] for row in range(PICTURES[split])])
    return {name: int((masks == label).sum()) for label, name in enumerate(("red", "green", "blue"))}


def train_params(**changes: Any) -> TrainParams:
    """The shipped parameters with changes; nested sections are merged."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text())["train"]
    values |= {"epochs": 4, "batch_size": 4, "learning_rate": 0.02}
    values["schedule"] |= {"warmup_epochs": 0}
    for key, value in changes.items():
        values[key] = {**values[key], **value} if isinstance(value, dict) else value
    return TrainParams.model_validate(values)
