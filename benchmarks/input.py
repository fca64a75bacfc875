"""Pictures a second that the training chain delivers, beside two usual ways of feeding the same pictures.

Run as ``python -m benchmarks.input`` from the root of the repository. It makes its own pictures, reads each way's once
to warm the page cache, and then takes turns, so that a busy machine slows all of them alike. The peers:

* one file for each picture (PNG pairs), decoded in a parallel ``map`` after a shuffle of names;
* ``FixedLengthRecordDataset`` over the same .npy shards, in their order, which cannot be shuffled globally.
"""

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from faceseg.files import write_bytes, write_csv, write_json
from faceseg.inputs.pipeline import training_batches
from faceseg.store.shards import Cache, Split, shard_names

Chain = Callable[[int], tf.data.Dataset]


def write_pictures(folder: Path, pictures: int, size: int, shard_size: int) -> None:
    """The same smooth pictures as a cache and as a PNG pair each."""
    rng = np.random.default_rng(0)
    shards = []
    for number, first in enumerate(range(0, pictures, shard_size)):
        rows = min(shard_size, pictures - first)
        coarse = rng.integers(0, 256, (rows, 8, 8, 3), dtype=np.uint8)
        images = np.stack([np.asarray(Image.fromarray(small).resize((size, size))) for small in coarse])
        masks = images[..., 0] // 32
        names = shard_names(number)
        for name, values in zip(names, (images, masks), strict=True):
            (folder / "cache" / "train").mkdir(parents=True, exist_ok=True)
            np.save(folder / "cache" / "train" / name, values)
        shards.append({"images": names[0], "masks": names[1], "rows": rows})
        for row in range(rows):
            for kind, values in (("image", images), ("mask", masks)):
                buffer = io.BytesIO()
                Image.fromarray(values[row]).save(buffer, "PNG", compress_level=1)
                write_bytes(folder / "files" / f"{first + row:06d}.{kind}.png", buffer.getvalue())
    header = ("row", "id", "clip", "width", "height")
    write_csv(folder / "cache" / "train" / "index.csv", header, ((n, n, n, size, size) for n in range(pictures)))
    split = {"pictures": pictures, "clips": pictures, "pixels": {}, "shards": shards}
    described = {"dataset": "bench", "size": size, "fit": "stretch", "classes": [], "colours": [], "mirror": []}
    write_json(folder / "cache" / "cache.json", {**described, "splits": {"train": split}})


def one_file_each(folder: Path, batch_size: int, pictures: int) -> Chain:
    images = [str(folder / "files" / f"{row:06d}.image.png") for row in range(pictures)]
    masks = [str(folder / "files" / f"{row:06d}.mask.png") for row in range(pictures)]

    def decode(image: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.io.decode_png(tf.io.read_file(image), 3), tf.io.decode_png(tf.io.read_file(mask), 1)

    def chain(epoch: int) -> tf.data.Dataset:
        names = tf.data.Dataset.from_tensor_slices((images, masks)).shuffle(pictures, seed=epoch)
        return names.map(decode, tf.data.AUTOTUNE).batch(batch_size, drop_remainder=True).prefetch(4)

    return chain


def fixed_records(folder: Path, batch_size: int, size: int) -> Chain:
    train = folder / "cache" / "train"

    def records(stem: str, shape: tuple[int, ...]) -> tf.data.Dataset:
        files = sorted(train.glob(f"{stem}-*.npy"))
        header = files[0].stat().st_size - np.load(files[0], mmap_mode="r", allow_pickle=False).nbytes
        rows = tf.data.FixedLengthRecordDataset([str(file) for file in files], int(np.prod(shape)), header)
        return rows.map(lambda row: tf.reshape(tf.io.decode_raw(row, tf.uint8), shape), tf.data.AUTOTUNE)

    def chain(_: int) -> tf.data.Dataset:
        pairs = tf.data.Dataset.zip((records("images", (size, size, 3)), records("masks", (size, size))))
        return pairs.batch(batch_size, drop_remainder=True).prefetch(4)

    return chain


def ours(split: Split, batch_size: int) -> Chain:
    return lambda epoch: training_batches(split, batch_size, 0, epoch)


def pictures_per_second(chain: tf.data.Dataset, batch_size: int) -> float:
    began = time.perf_counter()
    batches = sum(1 for _ in chain)
    return batches * batch_size / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=1024)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pictures(folder, arguments.pictures, arguments.size, shard_size=512)
        split = Cache.open(folder / "cache").split("train")
        chains = {
            "ours, shuffled over the whole split": ours(split, arguments.batch_size),
            "one file for each picture": one_file_each(folder, arguments.batch_size, arguments.pictures),
            "FixedLengthRecordDataset, in order": fixed_records(folder, arguments.batch_size, arguments.size),
        }
        speeds: dict[str, list[float]] = {label: [] for label in chains}
        for turn in range(arguments.rounds + 1):
            for label, chain in chains.items():
                speed = pictures_per_second(chain(turn), arguments.batch_size)
                if turn:  # the first round fills the page cache
                    speeds[label].append(speed)
    first = statistics.median(next(iter(speeds.values())))
    for label, measured in speeds.items():
        median = statistics.median(measured)
        spread = f"{min(measured):.0f} to {max(measured):.0f}"
        print(f"{label:40s} {median:7.0f} pictures/s ({spread}); ours is {first / median:.1f} times as fast")


if __name__ == "__main__":
    main()
