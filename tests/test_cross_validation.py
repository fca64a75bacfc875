"""Folds inside the training split: every training picture held out once, none of the test split seen."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from faceseg.cross_validation import cross_validate, deal, line, pooled
from faceseg.files import read_csv
from faceseg.params import Params

ROOT = Path(__file__).parents[1]
COLOURS = [(255, 0, 0), (127, 0, 0), (255, 255, 0), (0, 0, 255), (0, 255, 255), (0, 255, 0)]
TRAIN, WIDTH, HEIGHT = 5, 72, 80


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six stripes in FASSEG's colours; the test pictures are larger, so that counting one would show."""
    path = tmp_path_factory.mktemp("fasseg") / "fasseg.zip"
    with zipfile.ZipFile(path, "w") as file:
        for split, count, size in (("Train", TRAIN, (HEIGHT, WIDTH)), ("Test", 2, (128, 128))):
            for number in range(1, count + 1):
                stripes = (np.arange(size[0]) * 6 // size[0] + number) % 6
                label = np.broadcast_to(np.array(COLOURS, np.uint8)[stripes][:, None], (*size, 3))
                for kind in ("RGB", "Labels"):
                    content = io.BytesIO()
                    Image.fromarray(np.ascontiguousarray(label)).save(content, "BMP")
                    file.writestr(f"V2/{split}_{kind}/{number}.bmp", content.getvalue())
    return path


def params(source: Path, **train: object) -> Params:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["dataset"] |= {"name": "fasseg-frontal", "source": str(source)}
    values["merge"]["into"] = "face6"
    values["split"]["val"] = 0.0
    values["resize"]["size"] = 64
    values["model"] |= {"architecture": "deeplabv3plus", "backbone": "mobilenet"}
    values["train"] |= {"epochs": 1, "batch_size": 2, "keep": "last", **train}
    values["evaluate"] |= {"batch_size": 2, "flip": True}
    values["compute"]["workers"] = 1
    return Params.model_validate(values)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
def test_every_training_picture_is_held_out_once_and_no_test_picture_is_seen(archive: Path, tmp_path: Path) -> None:
    done = list(cross_validate(params(archive), 2, [], tmp_path / "cv", tmp_path))
    names = {f"train-{number}" for number in range(1, TRAIN + 1)}
    assert sorted(clip for fold in done for clip in fold.clips) == sorted(names)
    for fold in done:
        cache = tmp_path / "cv" / f"fold-{fold.number}" / "cache"
        trained_on = {row["id"] for row in read_csv(cache / "train" / "index.csv")}
        assert trained_on == names - set(fold.clips)
        assert sorted(path.name for path in cache.iterdir() if path.is_dir()) == ["test", "train"]
        assert list((tmp_path / "cv" / f"fold-{fold.number}" / "runs").iterdir()) == []
        # At native size, and nothing but what was held out.
        assert fold.plain.sum() == fold.viewed.sum() == len(fold.clips) * WIDTH * HEIGHT
    plain, viewed = pooled(done)
    both = done[0].plain + done[1].plain
    assert plain.pixel_accuracy == pytest.approx(np.trace(both) / (TRAIN * WIDTH * HEIGHT))
    told = line("all", plain, viewed)
    assert f"all: mIoU {plain.miou:.4f}, pixel accuracy {plain.pixel_accuracy:.4f}; with the recipe's flip" in told
    assert f" {viewed.miou:.4f}, {viewed.pixel_accuracy:.4f} (" in told
    assert "flip" not in line("all", plain, None)


def test_clips_are_dealt_evenly_and_the_same_each_time() -> None:
    clips = [f"clip-{number}" for number in range(11)]
    dealt = deal(clips, 4, 0)
    assert sorted(clip for part in dealt for clip in part) == sorted(clips)
    assert sorted(map(len, dealt)) == [2, 3, 3, 3]
    assert deal(clips[::-1], 4, 0) == dealt
    assert deal(clips, 4, 1) != dealt


def test_what_cannot_be_cross_validated_is_said_first(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"train.keep is 'best'.*set keep to 'last'"):
        next(cross_validate(params(archive, keep="best"), 2, [], tmp_path, tmp_path))
    with pytest.raises(ValueError, match=r"9 folds of 5 training clips: expected 2 to 5"):
        next(cross_validate(params(archive), 9, [], tmp_path, tmp_path))
    with pytest.raises(ValueError, match=r"there is no fold 3: expected 1 to 2"):
        next(cross_validate(params(archive), 2, [1, 3], tmp_path, tmp_path))
