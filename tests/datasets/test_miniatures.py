"""Every dataset in its exact layout, in miniature and with the dirt of the real one, through the data stages."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from faceseg.params import FolderParams
from faceseg.sources import catalog
from faceseg.sources.catalog import PUBLISHED
from faceseg.sources.schema import FilesSource, PublishedFile
from tests.datasets.miniature import BLUE, COLOURS, GREEN, RED, WHITE, file, prepare, quarters, unpacked, zipped
from tests.sources.conftest import Site, site  # noqa: F401 - a fixture

MULTIPOSE = Path(__file__).parents[2] / "../shared/data/fasseg-multipose-sample.zip"
SKIN, HAIR, EYES, NOSE, MOUTH = (255, 255, 0), (127, 0, 0), (0, 0, 255), (0, 255, 255), (0, 255, 0)
BACKGROUND = (255, 0, 0)


def test_multiclass_face(tmp_path: Path) -> None:
    def frame(split: str, name: str, width: int = 32, height: int = 24) -> dict[str, bytes]:
        return {
            f"archive (3)/All_data/{split}/image/{name}.jpg": file(COLOURS, width, height, "JPEG"),
            f"archive (3)/All_data/{split}/seg/{name}.png": file((0, 1, 4, 16), width, height, "PNG"),
        }

    members = {
        **frame("train", "12_00"),
        **frame("train", "12_01", 30, 42),
        **frame("train", "a b+c_7"),
        **frame("val", "12x_00"),
        "archive (3)/All_data/train/image/.DS_Store": b"",
        "__MACOSX/archive (3)/All_data/train/image/12_00.jpg": b"",
        "archive (3)/All_data/train/image/13_00.jpg": file(COLOURS, 32, 24, "JPEG"),
        "archive (3)/All_data/train/image/14_00.jpg": file(COLOURS, 32, 24, "JPEG")[:300],
        "archive (3)/All_data/train/seg/14_00.png": file((0, 1, 4, 16), 32, 24, "PNG"),
    }
    zipped(tmp_path / "a.zip", members)
    made = prepare(tmp_path, catalog.load("multiclass-face"), "a.zip", "face8")
    assert made.places() == {"train-12_00": "train", "train-12_01": "train", "train-a b+c_7": "train",
                             "test-12x_00": "test"}  # fmt: skip
    assert [row.clip for row in made.merged.rows] == ["12x", "12", "12", "a b+c"]
    for id_ in made.places():
        made.holds(id_, ("background", "skin", "eyes", "glasses"))
    assert {id_: reason.split(":")[0] for id_, reason in made.rejected().items()} == {
        "train-13_00": "no mask",
        "train-14_00": "broken image",
    }


def test_synthetic_faces(tmp_path: Path) -> None:
    made = prepare(tmp_path, catalog.load("synthetic-faces"), PUBLISHED, "face8")
    assert sorted(made.places().values()) == ["test", "train", "train", "train"]
    for id_ in made.places():
        assert {0, 1} <= set(np.unique(made.cached_mask(id_)))
    assert made.rejected() == {}


def test_fasseg_frontal(tmp_path: Path) -> None:
    edge = np.array(quarters((BACKGROUND, SKIN, HAIR, EYES), 64, 64))
    edge[:, 32] = (255, 100, 0)  # a blurred edge, nearer to background's red than to skin's yellow
    buffer = io.BytesIO()
    Image.fromarray(edge).save(buffer, "BMP")
    members = {
        "V2/Train_RGB/1.bmp": file(COLOURS, 64, 64, "BMP"),
        "V2/Train_Labels/1.bmp": buffer.getvalue(),
        "V2/Test_RGB/1.bmp": file(COLOURS, 31, 47, "BMP"),
        "V2/Test_Labels/1.bmp": file((NOSE, MOUTH, SKIN, HAIR), 31, 47, "BMP"),
        "V1/Train_RGB/1.bmp": b"the same photographs",
    }
    unpacked(tmp_path / "FASSEG repository", members)
    made = prepare(tmp_path, catalog.load("fasseg-frontal"), "FASSEG repository", "face6")
    native = made.native("train-1")
    assert native.shape == (64, 64)
    assert native[:, 31:34].tolist() == [[0, 0, 1]] * 32 + [[2, 0, 3]] * 32  # the edge's column is background
    made.holds("test-1", ("nose", "mouth", "skin", "hair"))


def multipose(name: str, pan: str, part: str = "Train", size: tuple[int, int] = (37, 51)) -> dict[str, bytes]:
    classes = (BACKGROUND, SKIN, HAIR, NOSE)
    return {
        f"FASSEG-repository-1/V3/{part}_RGB/{pan}/personne{name}+0{pan if pan != '0' else '+0'}.bmp": file(
            COLOURS, 37, 51, "BMP"
        ),
        f"FASSEG-repository-1/V3/{part}_labels/{pan}/personne{name}+0{pan if pan != '0' else '+0'}.bmp": file(
            classes, *size, "BMP"
        ),
    }


def test_fasseg_multipose(tmp_path: Path) -> None:
    members = {
        **multipose("01147", "+15"),
        **multipose("01240", "-90"),
        **multipose("08146", "0", "Test"),
        **multipose("15248", "+30", "Test", (38, 51)),
        "FASSEG-repository-1/V3/Test_RGB/+45/personne08149+0+45.bmp": file(COLOURS, 37, 51, "BMP"),
        "FASSEG-repository-1/V3/Train_RGB/+45/personne02149+0+45.bmp": file(COLOURS, 37, 51, "BMP"),
    }
    zipped(tmp_path / "a.zip", members)
    made = prepare(tmp_path, catalog.load("fasseg-multipose"), "a.zip", "face6")
    assert made.places() == {
        "train-personne01147+0+15": "train",
        "train-personne01240+0-90": "train",
        "test-personne08146+0+0": "test",
    }
    assert {row.clip for row in made.merged.rows} == {"person-01", "person-08"}
    for id_ in made.places():
        made.holds(id_, ("background", "skin", "hair", "nose"))
    assert made.unlabelled() == ["test-personne08149+0+45"]
    rejected = made.rejected()
    assert rejected["test-personne15248+0+30"].endswith("is 38 x 51, expected the 37 x 51 of its image, upright")
    assert rejected["train-personne02149+0+45"].startswith("no mask: ")  # only the test split may lack labels
    assert made.merged.named()[-1] == "without a label, as expected: test-personne08149+0+45"


@pytest.mark.skipif(not MULTIPOSE.exists(), reason=f"{MULTIPOSE} is not here")
def test_the_real_multipose_sample(tmp_path: Path) -> None:
    made = prepare(tmp_path, catalog.load("fasseg-multipose"), str(MULTIPOSE), "face6")
    metrics = made.merged.metrics()
    assert (metrics["pictures"], metrics["unlabelled"], metrics["rejected"]) == (78 + 12, 14, 1)
    assert {row.clip for row in made.merged.rows} == {"person-01", "person-02", "person-03", "person-08"}
    [(name, reason)] = made.rejected().items()
    assert name == "test-personne15248+0+30"
    assert reason.endswith("personne15248+0+30.bmp is 373 x 512, expected the 366 x 512 of its image, upright")
    assert len(made.unlabelled()) == 14
    assert all(id_.startswith("test-personne08") for id_ in made.unlabelled())
    assert sorted(made.cache.splits) == ["test", "train"]


def part(values: tuple[object, object, object, object], side: int = 16, colour: bool = False) -> bytes:
    levels = tuple((255 * bool(value),) * 3 if colour else 255 * bool(value) for value in values)
    return file(levels, side, side, "PNG")


def celebamask() -> dict[str, bytes]:
    """Three good pictures and what a partial copy of the dataset is like."""
    root = "CelebAMask-HQ"
    members: dict[str, bytes] = {}
    for number, folder in ((0, 0), (7, 0), (2001, 1)):
        parts = f"{root}/CelebAMask-HQ-mask-anno/{folder}/{number:05d}"
        members |= {
            f"{root}/CelebA-HQ-img/{number}.jpg": file(COLOURS, 32, 32, "JPEG"),
            f"{parts}_skin.png": part((0, 1, 1, 1), colour=True),
            f"{parts}_l_eye.png": part((0, 0, 1, 0)),
            f"{parts}_u_lip.png": part((0, 0, 0, 1)),
            f"{parts}_l_brow.png": part((0, 0, 1, 0)),  # painted after the eye, so that it covers it
        }
    members |= {
        f"{root}/CelebA-HQ-img/1.jpg": file(COLOURS, 32, 32, "JPEG"),
        f"{root}/CelebA-HQ-img/2.jpg": file(COLOURS, 32, 32, "JPEG"),
        f"{root}/CelebAMask-HQ-mask-anno/0/00002_skin.png": part((0, 1, 1, 1)),
        f"{root}/CelebAMask-HQ-mask-anno/0/00002_hair.png": part((1, 0, 0, 0), side=32),
        f"{root}/CelebA-HQ-img/3.jpg": file(COLOURS, 32, 32, "JPEG"),
        f"{root}/CelebAMask-HQ-mask-anno/0/00003_beard.png": part((0, 1, 1, 1)),
        f"{root}/CelebAMask-HQ-mask-anno/0/00004_skin.png": part((0, 1, 1, 1)),
        f"{root}/CelebAMask-HQ-mask-anno/0/Thumbs.db": b"",
        f"{root}/README.txt": b"",
    }
    return members


@pytest.mark.parametrize(
    ("into", "names"),
    [
        ("parts19", ("background", "skin", "l_brow", "u_lip")),
        ("face8", ("background", "skin", "eyebrows", "mouth")),
        ("eyes-lips", ("rest", "rest", "rest", "eyes_lips")),
    ],
)
def test_celebamask_hq(tmp_path: Path, into: str, names: tuple[str, str, str, str]) -> None:
    zipped(tmp_path / "Celeb A+Mask.zip", celebamask())
    lists = {"train": ["00000"], "val": ["00007"], "test": ["02001"]}
    made = prepare(tmp_path, catalog.load("celebamask-hq"), "Celeb A+Mask.zip", into, "clip", lists)
    assert made.places() == {"00000": "train", "00007": "val", "02001": "test"}
    for id_ in made.places():
        made.holds(id_, names)
        ids = tuple(made.cache.classes.index(name) for name in names)
        # Masks of 16 x 16 on pictures of 32 x 32: each of their pixels is two by two of the native mask.
        np.testing.assert_array_equal(made.native(id_), quarters(ids, 32, 32))
    assert {id_: reason.split(":")[0] for id_, reason in made.rejected().items()} == {
        "00001": "no mask",
        "00002": "other size",
        "00003": "foreign labels",
        "00004": "no image",
    }
    assert "00002_hair.png is 32 x 32, expected 1/2 of the 32 x 32 of its image" in made.rejected()["00002"]
    assert "00003_beard.png is the part 'beard', which is no class of celebamask-hq" in made.rejected()["00003"]


def tgz(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def test_lfw_parts(tmp_path: Path, site: Site) -> None:  # noqa: F811 - the fixture
    def labels(name: str) -> bytes:
        return file(((255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 255, 0)), 25, 25, "PPM")

    people = ["Ann_Bee_0001", "Ann_Bee_0010", "O'Neal_Jr_0002", "Cy_0003", "Di_0001", "Al-Sisi_0004"]
    site.files = {
        "lfw-funneled.tgz": tgz(
            {
                **{f"lfw_funneled/{name[:-5]}/{name}.jpg": file(COLOURS, 25, 25, "JPEG") for name in people},
                "lfw_funneled/Eve/Eve_0001.jpg": file(COLOURS, 25, 25, "JPEG"),
                "lfw_funneled/pairs_01.txt": b"",
            }
        ),
        "labels.tgz": tgz({f"parts_lfw_funneled_gt_images/{name}.ppm": labels(name) for name in people}),
        "parts_train.txt": b"Ann_Bee 1\nAnn_Bee 0010\n",
        "parts_validation.txt": b"Cy 3\n\n",
        "parts_test.txt": b"O'Neal_Jr 2\r\nGil 7\nAl-Sisi 0004",
    }
    site.cut_after = [300]
    files = tuple(
        PublishedFile.model_construct(url=site.url(name), sha256=None, unpack="tgz" if "tgz" in name else None)
        for name in site.files
    )
    dataset = catalog.load("lfw-parts")
    dataset = dataset.model_copy(update={"source": FilesSource.model_construct(kind="files", files=files)})
    made = prepare(tmp_path, dataset, PUBLISHED, "hair-skin-background")
    assert made.places() == {
        "Ann_Bee_0001": "train",
        "Ann_Bee_0010": "train",
        "Cy_0003": "val",
        "Al-Sisi_0004": "test",
    }
    assert {row.id: row.clip for row in made.merged.rows}["Ann_Bee_0010"] == "Ann_Bee"
    for id_ in made.places():
        made.holds(id_, ("hair", "skin", "background", "skin"))
    assert made.unlabelled() == ["Eve_0001"]
    rejected = made.rejected()
    assert rejected["O'Neal_Jr_0002"].startswith("unsafe name: ")
    assert rejected["Di_0001"] == "no split: lfw_funneled/Di/Di_0001.jpg has a mask, but no list names it"
    assert rejected["Gil_0007"] == "no image: a list names it, but it has no image"


FOLDER_TABLES = {
    "index": FolderParams(masks="index", tolerance=0, max_strays=0, classes={"rest": 0, "left": 3, "right": 9}),
    "rgb": FolderParams(
        masks="rgb", tolerance=0, max_strays=0, classes={"rest": WHITE, "left": (1, 2, 3), "right": (9, 9, 9)}
    ),
}
FOLDER_MASKS = {
    "index": ((0, 3, 9, 0), "index"),
    "palette": ((0, 3, 9, 0), "index"),
    "rgb": ((WHITE, (1, 2, 3), (9, 9, 9), WHITE), "rgb"),
}


def folder_mask(kind: str, width: int, height: int, orientation: int = 1) -> bytes:
    values = FOLDER_MASKS[kind][0]
    if kind != "palette":
        return file(values, width, height, "PNG", orientation)
    picture = Image.fromarray(quarters(values, width, height))
    picture.putpalette([7] * 768)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("kind", sorted(FOLDER_MASKS))
@pytest.mark.parametrize("folders", [("images", "labels"), ("images/images", "labels/labels"), ("Images", "masks")])
def test_folder(tmp_path: Path, kind: str, folders: tuple[str, str]) -> None:
    images, labels = folders
    members = {
        f"{images}/a b+c.JPG": file(COLOURS, 33, 21, "JPEG"),
        f"{labels}/a b+c.png": folder_mask(kind, 33, 21),
        f"{images}/2.webp": file(COLOURS, 8, 64, "PNG"),
        f"{labels}/2.PNG": folder_mask(kind, 8, 64),
        f"{images}/odd.png": file(COLOURS, 20, 20, "PNG"),
        f"{labels}/odd.png": folder_mask(kind, 20, 22),
        f"{images}/alone.png": file(COLOURS, 20, 20, "PNG"),
        f"{images}/notes.txt": b"mine",
    }
    unpacked(tmp_path / "my faces", members)
    dataset = catalog.load("folder", FOLDER_TABLES[FOLDER_MASKS[kind][1]])
    lists = {"train": ["a b+c"], "test": ["2"]}
    made = prepare(tmp_path, dataset, "my faces", "identity", "clip", lists)
    assert made.cache.classes == ("rest", "left", "right")
    assert made.places() == {"a b+c": "train", "2": "test"}
    for id_ in made.places():
        made.holds(id_, ("rest", "left", "right", "rest"))
    assert {id_: reason.split(":")[0] for id_, reason in made.rejected().items()} == {
        "odd": "other size",
        "alone": "no mask",
    }


def test_rotated_pictures_come_out_upright_with_their_masks(tmp_path: Path) -> None:
    """Orientation 6: the stored picture is turned clockwise by 90 degrees to be shown, so its left side is up."""
    stored, shown = (RED, GREEN, BLUE, WHITE), (BLUE, RED, WHITE, GREEN)
    ids_stored, ids_shown = (0, 3, 9, 3), (9, 0, 3, 3)
    members = {
        # A mask without a tag lies as the picture is shown.
        "images/1.jpg": file(stored, 40, 24, "JPEG", 6),
        "labels/1.png": file(ids_shown, 24, 40, "PNG"),
        # A mask with the same tag is turned too.
        "images/2.jpg": file(stored, 40, 24, "JPEG", 6),
        "labels/2.png": file(ids_stored, 40, 24, "PNG", 6),
        # A mask without a tag that lies as the picture is stored has another size.
        "images/3.jpg": file(stored, 40, 24, "JPEG", 6),
        "labels/3.png": file(ids_stored, 40, 24, "PNG"),
    }
    unpacked(tmp_path / "faces", members)
    dataset = catalog.load("folder", FOLDER_TABLES["index"])
    made = prepare(tmp_path, dataset, "faces", "identity", "clip", {"train": ["1"], "test": ["2"]})
    for id_ in ("1", "2"):
        made.holds(id_, ("right", "rest", "left", "left"), shown)
        assert made.native(id_).shape == (40, 24)
    assert made.rejected() == {"3": "other size: labels/3.png is 40 x 24, expected the 24 x 40 of its image, upright"}
