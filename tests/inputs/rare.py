"""A cache of eight pictures of which the first two hold a second class."""

from pathlib import Path

import numpy as np

from faceseg.files import write_csv, write_json
from faceseg.store.shard_writer import RowWriter, Shard, lay_out

SIZE = 4


def write_rare(folder: Path) -> Path:
    lay_out(folder, Shard("train", 0), 8, SIZE)
    with RowWriter(folder) as writer:
        for row in range(8):
            mask = np.zeros((SIZE, SIZE), np.uint8)
            mask[0, 0] = 1 if row < 2 else 255
            writer.write(Shard("train", 0), row, np.full((SIZE, SIZE, 3), row, np.uint8), mask)
    header = ("row", "id", "clip", "width", "height")
    write_csv(folder / "train" / "index.csv", header, [(row, row, row, SIZE, SIZE) for row in range(8)])
    shard = {"images": "images-00000.npy", "masks": "masks-00000.npy", "rows": 8}
    facts = {"pictures": 8, "clips": 8, "pixels": {}, "shards": [shard]}
    manifest = {"dataset": "rare", "size": SIZE, "fit": "stretch", "classes": ["a", "b"], "colours": [], "mirror": []}
    write_json(folder / "cache.json", {**manifest, "splits": {"train": facts}})
    return folder
