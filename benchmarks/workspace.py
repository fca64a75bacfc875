"""What the benchmarks of the data stages run on: generated pictures in the multiclass-face layout, and a place to run.

Pictures are shapes of a face under light, with texture and noise, so that a JPEG of quality 90 has about the bytes of a
photograph and a mask the outlines of a real one. The benchmark measures decoding, not learning.
"""

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import yaml
from PIL import Image, ImageDraw, ImageFilter

ROOT = Path(__file__).resolve().parents[1]
FRAMES = 4  # pictures of a clip
DISTINCT = 48  # pictures are drawn, then repeated under other names: every copy is decoded all the same
JPEG_QUALITY = 90
TEST_PART = 5  # every fifth clip is of the dataset's own val, which is the test split

# id, then an ellipse as centre and half axes in parts of the face's half axes; drawn in this order.
PARTS = (
    (10, (0.0, -0.25, 1.25, 1.15)),
    (17, (0.0, 1.3, 0.45, 0.7)),
    (13, (-1.0, 0.0, 0.12, 0.25)),
    (14, (1.0, 0.0, 0.12, 0.25)),
    (1, (0.0, 0.0, 1.0, 1.0)),
    (2, (-0.42, -0.32, 0.24, 0.05)),
    (3, (0.42, -0.32, 0.24, 0.05)),
    (11, (-0.42, -0.12, 0.2, 0.09)),
    (12, (0.42, -0.12, 0.2, 0.09)),
    (4, (-0.42, -0.12, 0.16, 0.06)),
    (5, (0.42, -0.12, 0.16, 0.06)),
    (6, (0.0, 0.14, 0.14, 0.24)),
    (9, (0.0, 0.5, 0.32, 0.08)),
    (7, (0.0, 0.62, 0.3, 0.08)),
    (8, (0.0, 0.56, 0.26, 0.03)),
)


def draw(number: int, width: int, height: int) -> tuple[bytes, bytes]:
    """One picture as JPEG and its mask as PNG, both ``width`` x ``height`` pixels."""
    random = np.random.default_rng(number)
    mask = Image.new("L", (width, height))
    picture = Image.fromarray(random.integers(40, 200, (6, 6, 3), np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    brushes = ImageDraw.Draw(mask), ImageDraw.Draw(picture)
    centre_x, centre_y = width * random.uniform(0.42, 0.58), height * random.uniform(0.45, 0.55)
    half_x, half_y = width * random.uniform(0.2, 0.28), height * random.uniform(0.26, 0.33)
    for part, (x, y, a, b) in PARTS:
        left, right = centre_x + (x - a) * half_x, centre_x + (x + a) * half_x
        top, bottom = centre_y + (y - b) * half_y, centre_y + (y + b) * half_y
        brushes[0].ellipse((left, top, right, bottom), fill=part)
        brushes[1].ellipse((left, top, right, bottom), fill=tuple(random.integers(50, 230, 3).tolist()))
    pixels = np.asarray(picture.filter(ImageFilter.GaussianBlur(1.2))).astype(np.float32)
    for grain, strength in ((1, 4.0), (3, 6.0), (12, 10.0)):
        noise = random.normal(0, strength, (height // grain + 1, width // grain + 1)).astype(np.float32)
        pixels += np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))[..., None]
    jpeg, png = io.BytesIO(), io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(jpeg, "JPEG", quality=JPEG_QUALITY)
    mask.save(png, "PNG")
    return jpeg.getvalue(), png.getvalue()


def generate(path: Path, pictures: int, width: int, height: int) -> None:
    """An archive of ``pictures`` pictures and masks, clips of ``FRAMES``, landscape and portrait in turn."""
    drawn = [draw(n, *((width, height) if n % 2 else (height, width))) for n in range(min(DISTINCT, pictures))]
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for n in range(pictures):
            clip, frame = divmod(n, FRAMES)
            folder = "val" if clip % TEST_PART == 0 else "train"
            jpeg, png = drawn[n % len(drawn)]
            archive.writestr(f"All_data/{folder}/image/{clip:05d}_{frame:02d}.jpg", jpeg)
            archive.writestr(f"All_data/{folder}/seg/{clip:05d}_{frame:02d}.png", png)


def prepare(folder: Path, archive: Path, workers: int, mask_filter: str = "nearest") -> None:
    """A workspace: the repository's params.yaml, pointed at ``archive`` as the multiclass-face dataset."""
    folder.mkdir(parents=True, exist_ok=True)
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["dataset"] |= {"name": "multiclass-face", "source": str(archive)}
    params["resize"]["mask_filter"] = mask_filter
    params["compute"]["workers"] = workers
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def start(stage: str, folder: Path) -> subprocess.Popen[bytes]:
    """Start one stage in a workspace as DVC does, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DVC_ROOT": str(folder)}
    return subprocess.Popen([sys.executable, "-m", f"stages.{stage}"], cwd=folder, env=environment)


def run(stage: str, folder: Path) -> None:
    """Run one stage to its end.

    Raises:
        CalledProcessError: when it fails.
    """
    process = start(stage, folder)
    if process.wait():
        raise subprocess.CalledProcessError(process.returncode, process.args)
