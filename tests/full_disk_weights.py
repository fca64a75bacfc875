"""Run on a small disk: the weights of a model are written where there is no room, found before and in the middle."""

import json
import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import pytest

from faceseg.files import NoRoomError
from faceseg.training import train
from tests.small_disk import fill


def main(disk: Path) -> dict[str, object]:
    model = keras.Sequential([keras.Input((1000,)), keras.layers.Dense(1000), keras.layers.Dense(1000)])  # 8 MB
    path = disk / "models" / "model.weights.h5"
    train._write_weights(model, path)
    whole, said = path.read_bytes(), []
    for leave in (3_000_000, 0):
        fill(disk, leave)
        said.append(_message(model, path))
        (disk / "filler").unlink()
    with pytest.MonkeyPatch.context() as patch:
        # There was room when it was asked for.
        patch.setattr(train, "require_room", lambda *_: fill(disk, 3_000_000))
        said.append(_message(model, path))
    return {
        "said": said,
        "old is whole": path.read_bytes() == whole,
        "left": [file.name for file in (disk / "models").iterdir()],
    }


def _message(model: keras.Model, path: Path) -> str:
    try:
        train._write_weights(model, path)
    except NoRoomError as error:
        return str(error)
    return "there was room"


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))), flush=True)
    # HDF5 falls over the file that it could not finish when a process ends in the usual way; all is said by then.
    os._exit(0)
