"""The README's picture: three of the default run's sample strips, one above the other.

.venv/bin/python docs/make_predictions_picture.py        after `make repro`
"""

from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
WIDTH = 1200
QUALITY = 85


def main() -> None:
    paths = sorted((ROOT / "reports" / "samples").glob("*.png"))
    # From worst to best: the second, a middle one and the last.
    strips = [Image.open(paths[index]).convert("RGB") for index in (1, len(paths) // 2, -1)]
    scaled = [strip.resize((WIDTH, round(strip.height * WIDTH / strip.width))) for strip in strips]
    picture = Image.new("RGB", (WIDTH, sum(strip.height for strip in scaled)), "white")
    top = 0
    for strip in scaled:
        picture.paste(strip, (0, top))
        top += strip.height
    picture.save(ROOT / "docs" / "images" / "predictions.jpg", quality=QUALITY, optimize=True)


if __name__ == "__main__":
    main()
