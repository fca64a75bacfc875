"""A small cache on disk, in the format that the cache stage writes."""

import json
from pathlib import Path

import numpy as np
import pytest

from faceseg.store.shards import Cache

SIZE = 8
ROWS = {"train": (5, 6), "val": (4, 3)}  # pictures of each shard


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """Two splits of two shards each; picture ``row`` of split s has red = row, and class row % 3 everywhere."""
    splits = {}
    for name, shards in ROWS.items():
        folder = tmp_path / name
        folder.mkdir()
        rows = np.arange(sum(shards))
        images = np.zeros((len(rows), SIZE, SIZE, 3), np.uint8)
        images[..., 0] = rows[:, None, None]
        masks = np.broadcast_to((rows % 3).astype(np.uint8)[:, None, None], images.shape[:3])
        entries, first = [], 0
        for number, count in enumerate(shards):
            names = {"images": f"images-{number:05d}.npy", "masks": f"masks-{number:05d}.npy"}
            np.save(folder / names["images"], images[first : first + count])
            np.save(folder / names["masks"], masks[first : first + count])
            entries.append({**names, "rows": count, "images_sha256": "", "masks_sha256": ""})
            first += count
        lines = [f"{row},{name}-{row},clip-{row // 2},60,40" for row in rows]
        (folder / "index.csv").write_text("\n".join(["row,id,clip,width,height", *lines]) + "\n")
        splits[name] = {"pictures": len(rows), "clips": len(rows), "pixels": {}, "shards": entries}
    manifest = {
        "dataset": "tiny",
        "size": SIZE,
        "fit": "stretch",
        "classes": ["a", "b", "c"],
        "colours": [[0, 0, 0], [9, 9, 9], [99, 9, 9]],
        "mirror": [],
        "splits": splits,
    }
    (tmp_path / "cache.json").write_text(json.dumps(manifest))
    return Cache.open(tmp_path)
