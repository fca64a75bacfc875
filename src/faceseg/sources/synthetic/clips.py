"""Clips in parallel, members in one fixed order: (split, clip, frame), the image before its label.

That order, rather than the members' names' own, lets each clip be drawn once and leave the memory at once.
"""

from collections.abc import Iterator

import joblib

from faceseg.params import Synthetic
from faceseg.running.workers import processes
from faceseg.sources.synthetic.backdrop import draw_backdrop
from faceseg.sources.synthetic.camera import photograph, png
from faceseg.sources.synthetic.draws import FRAME, PERSON, SCENE, SPLITS, TRAIN, VAL, Draws
from faceseg.sources.synthetic.head import Head
from faceseg.sources.synthetic.paint import paint
from faceseg.sources.synthetic.person import draw_person
from faceseg.sources.synthetic.scene import draw_frame, draw_scene

Member = tuple[str, bytes]

# Names run 0001-5000 for train, 5001-10000 for val, then 10001-15000 for train, and so on: no id is ever in both.
IDS_IN_A_ROW = 5000
# joblib does not wait for whoever takes its results, so that it is given this many clips for each worker at a time.
CLIPS_IN_FLIGHT = 8


def generate(params: Synthetic, workers: int | None) -> Iterator[Member]:
    """The members of the generated archive: (name, bytes) of JPEG images and of 8-bit index PNG labels.

    Names are All_data/{train,val}/{image,seg}/CLIP_FRAME.{jpg,png}. A picture depends on (seed, split, clip, frame)
    alone, so that a larger set holds a smaller one's pictures byte for byte. At any number of workers the members and
    their order are the same, and no more than CLIPS_IN_FLIGHT clips for each worker are in memory.

    workers: processes that draw; None is one a core.
    """
    count = workers if workers is not None else joblib.cpu_count()
    clips = [(TRAIN, clip) for clip in range(params.train_clips)] + [(VAL, clip) for clip in range(params.val_clips)]
    if count == 1:
        for split, clip in clips:
            yield from draw_clip(params.seed, split, clip, params.frames)
        return
    with processes(count, return_as="generator", batch_size=1) as parallel:
        for start in range(0, len(clips), CLIPS_IN_FLIGHT * count):
            some = clips[start : start + CLIPS_IN_FLIGHT * count]
            tasks = (joblib.delayed(draw_clip)(params.seed, split, clip, params.frames) for split, clip in some)
            for members in parallel(tasks):
                yield from members


def clip_id(split: int, clip: int) -> str:
    """The name of a split's clip (0, 1, ...): four digits, or more beyond 9999."""
    block, place = clip // IDS_IN_A_ROW, clip % IDS_IN_A_ROW
    return f"{(2 * block + (split == VAL)) * IDS_IN_A_ROW + place + 1:04d}"


def draw_clip(seed: int, split: int, clip: int, frames: int) -> list[Member]:
    """The members of one clip: for each frame its image and its label."""
    person, scene = draw_person(seed, split, clip), draw_scene(seed, split, clip)
    head = Head(person.shape)
    backdrop = draw_backdrop(scene, Draws(seed, SCENE, split, clip, 2))
    members = []
    for number in range(frames):
        frame = draw_frame(seed, split, clip, number, scene)
        canvas = paint(person, head, scene, frame, backdrop, Draws(seed, PERSON, split, clip, 1))
        image = photograph(canvas.picture, scene, frame.exposure, Draws(seed, FRAME, split, clip, number, 1))
        name = f"{clip_id(split, clip)}_{number + 1:02d}"
        members.append((f"All_data/{SPLITS[split]}/image/{name}.jpg", image))
        members.append((f"All_data/{SPLITS[split]}/seg/{name}.png", png(canvas.labels)))
    return members
