"""Growth: what did not change is taken over, the rest is made, and the bytes are those of a build from nothing."""

import hashlib
import io
import shutil
import zipfile
from dataclasses import fields, replace
from pathlib import Path

import joblib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from faceseg.params import MergeParams, ResizeParams
from faceseg.sources import catalog
from faceseg.sources.archive import Archive
from faceseg.sources.members import write_digests
from faceseg.store import cached_rows, growing, merged, resized
from faceseg.store.cached import Description, write_cache
from faceseg.store.growing import worth_starting
from faceseg.store.merged import write_merged
from faceseg.store.origins import Origin, as_facts, code_key, key_of, read_origins
from faceseg.store.packs import PackReader
from faceseg.store.resized import read_index, write_resized

DATASET = catalog.load("multiclass-face")
MERGE = DATASET.merge("face8")


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def members(clips: dict[str, int]) -> dict[str, bytes]:
    """Two frames of each clip, drawn from its number; a negative one has a mask with an id that is no class."""
    files = {}
    for clip, seed in clips.items():
        for frame in range(2):
            random = np.random.default_rng([abs(seed), frame])
            folder = "val" if clip.startswith("t") else "train"
            mask = random.integers(0, 18, (20, 24), np.uint8)
            if seed < 0:
                mask[0, 0] = 77
            name = f"All_data/{folder}/{{}}/{clip}_{frame}"
            files[name.format("image") + ".jpg"] = encoded(random.integers(0, 256, (20, 24, 3), np.uint8), "JPEG")
            files[name.format("seg") + ".png"] = encoded(mask, "PNG")
    return files


def download(root: Path, clips: dict[str, int]) -> Path:
    """The archive of the clips, and the digests of its members, as the download stage leaves them."""
    raw = root / "raw" / "dataset.zip"
    raw.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(raw, "w") as file:
        for name, content in sorted(members(clips).items()):
            file.writestr(name, content)
    with Archive(raw) as archive:
        write_digests(archive, raw.with_name("members.csv"))
    return raw


def run_stages(root: Path, size: int = 16, shard_size: int = 3) -> dict[str, str]:
    """Merge, resize and cache in ``root``, over what is there; the digest of every file."""
    raw = root / "raw" / "dataset.zip"
    write_merged(
        raw, root / "merged", DATASET, MergeParams(into="face8", max_rejected=1), 1, root / "origins" / "merge.csv"
    )
    params = ResizeParams(size=size, fit="stretch", mask_filter="nearest")
    write_resized(raw, root / "merged", root / "resized", params, 1, root / "origins" / "resize.csv")
    about = Description("tiny", size, "stretch", MERGE.classes, MERGE.colours, ())
    split_of = {row.clip: "test" if row.clip.startswith("t") else "train" for row in read_index(root / "resized")}
    write_cache(root / "resized", root / "cache", about, split_of, shard_size, 1, root / "origins" / "cache.csv")
    return digests(root)


def build(root: Path, clips: dict[str, int], size: int = 16, shard_size: int = 3) -> dict[str, str]:
    """``download`` and ``run_stages``."""
    download(root, clips)
    return run_stages(root, size, shard_size)


def digests(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in outputs(root)}


def outputs(root: Path) -> list[Path]:
    """What the stages have made in ``root``."""
    return sorted(path for path in root.rglob("*") if path.is_file() and path.parent.name != "raw")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many pictures each stage has worked on, and not taken over; the work itself is the real one."""
    counts = {"merge": 0, "resize": 0, "cache": 0}
    for stage, module in (("merge", merged), ("resize", resized), ("cache", cached_rows)):

        def counted(*arguments, _work=module._made, _stage=stage):
            counts[_stage] += 1
            return _work(*arguments)

        monkeypatch.setattr(module, "_made", counted)
    return counts


A = {"a": 1, "b": 2, "c": 3, "bad": -4, "t1": 5, "t2": 6}
B = {**A, "a2": 7, "t0": 8}


def test_only_what_is_new_is_made(tmp_path: Path, made: dict[str, int]) -> None:
    build(tmp_path / "grown", A)
    assert made == {"merge": 12, "resize": 10, "cache": 10}
    made.update(merge=0, resize=0, cache=0)
    grown = build(tmp_path / "grown", B)
    assert made == {"merge": 4, "resize": 4, "cache": 4}
    assert grown == build(tmp_path / "fresh", B)


def test_nothing_is_read_of_what_did_not_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(tmp_path, A)
    download(tmp_path, {**A, "new": 9})
    read: list[str] = []
    read_archive, read_pack = Archive.read, PackReader.read
    monkeypatch.setattr(Archive, "read", lambda self, member: read.append(member) or read_archive(self, member))
    monkeypatch.setattr(PackReader, "read", lambda self, clip, name: read.append(name) or read_pack(self, clip, name))
    run_stages(tmp_path)
    # Two pictures with their masks, in each stage.
    assert len(read) == 12
    assert all("new_" in name for name in read)


@pytest.mark.parametrize("digests", ["none", "of a set with other content"])
def test_digests_that_say_nothing_of_the_archive_are_not_believed(tmp_path: Path, digests: str) -> None:
    build(tmp_path / "set", A)
    download(tmp_path / "set", {**A, "b": 20})
    path = tmp_path / "set" / "raw" / "members.csv"
    path.unlink()
    if digests != "none":
        download(tmp_path / "other", A)
        shutil.copy(tmp_path / "other" / "raw" / "members.csv", path)
    assert run_stages(tmp_path / "set") == build(tmp_path / "fresh", {**A, "b": 20})


def test_the_way_back_gives_what_it_was(tmp_path: Path, made: dict[str, int]) -> None:
    before = build(tmp_path / "set", A)
    build(tmp_path / "set", B)
    made.update(merge=0, resize=0, cache=0)
    assert build(tmp_path / "set", A) == before
    assert made == {"merge": 0, "resize": 0, "cache": 0}


def test_a_changed_picture_is_made_anew(tmp_path: Path, made: dict[str, int]) -> None:
    build(tmp_path / "set", A)
    made.update(merge=0, resize=0, cache=0)
    assert build(tmp_path / "set", {**A, "b": 20}) == build(tmp_path / "fresh", {**A, "b": 20})
    assert made["merge"] == 2 + 12


def test_another_size_takes_over_no_picture_and_another_shard_size_every_one(
    tmp_path: Path, made: dict[str, int]
) -> None:
    build(tmp_path / "set", A)
    made.update(merge=0, resize=0, cache=0)
    in_twos = build(tmp_path / "set", A, shard_size=2)
    assert made == {"merge": 0, "resize": 0, "cache": 0}
    assert in_twos == build(tmp_path / "twos", A, shard_size=2)
    made.update(merge=0, resize=0, cache=0)
    larger = build(tmp_path / "set", A, size=18)
    assert made == {"merge": 0, "resize": 10, "cache": 10}
    assert larger == build(tmp_path / "larger", A, size=18)


def test_files_with_the_same_bytes_are_not_touched(tmp_path: Path) -> None:
    build(tmp_path, A)
    before = {path: path.stat().st_ino for path in tmp_path.rglob("*") if path.is_file()}
    build(tmp_path, {**A, "t0": 8})
    kept = {path.relative_to(tmp_path).as_posix() for path, inode in before.items() if path.stat().st_ino == inode}
    assert {"cache/train/images-00000.npy", "cache/train/masks-00000.npy", "cache/train/index.csv"} <= kept
    assert any(name.startswith("merged/masks-") for name in kept)
    assert any(name.startswith("resized/pack-") for name in kept)


def test_a_set_that_may_only_be_read_is_replaced_not_written_into(tmp_path: Path) -> None:
    """As DVC links outputs to its cache: a write in place would damage the cache."""
    build(tmp_path / "set", A)
    cache = tmp_path / "dvc-cache"
    shutil.copytree(tmp_path / "set", cache)
    for path in outputs(cache):
        path.chmod(0o444)
        link = tmp_path / "set" / path.relative_to(cache)
        link.unlink()
        link.hardlink_to(path)
    before = digests(cache)
    assert build(tmp_path / "set", B) == build(tmp_path / "fresh", B)
    assert digests(cache) == before


@settings(max_examples=8, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_or_half_written_state_is_never_trusted(data: st.DataObject, built: Path) -> None:
    """Any file of the old state is cut, changed in a byte, lost, or of another build: the result is the same."""
    root, fresh = built / "set", built / "fresh"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(built / "old", root)
    for path in data.draw(st.lists(st.sampled_from(outputs(root)), min_size=1, max_size=3, unique=True)):
        content = bytearray(path.read_bytes())
        match data.draw(st.sampled_from(["cut", "changed", "lost", "other"])):
            case "cut":
                path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
            case "changed" if content:
                content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
                path.write_bytes(content)
            case "lost":
                path.unlink()
            case "other" if (other := built / "other" / path.relative_to(root)).exists():
                shutil.copy(other, path)
    assert build(root, B) == digests(fresh)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("states")
    build(root / "old", A)
    build(root / "other", {clip: seed + 100 for clip, seed in A.items()})
    build(root / "fresh", B)
    return root


def test_few_pictures_are_not_worth_a_process() -> None:
    assert [worth_starting(2, pictures) for pictures in (0, 63, 64, 1000)] == [1, 1, 2, 2]
    assert worth_starting(None, 100_000) == joblib.cpu_count()


def test_keys_and_seals_tell_their_parts_apart() -> None:
    assert key_of("ab", "c") != key_of("a", "bc")
    record = Origin.sealed("a", "key", "{}", "file", "1", "digest")
    assert record.holds("digest")
    assert not record.holds("other")
    assert not any(replace(record, **{field.name: "x"}).holds("digest") for field in fields(Origin))
    assert as_facts({"b": 1, "a": [2]}) == '{"a":[2],"b":1}'


def test_the_key_of_the_code_follows_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = Path(merged.__file__).parents[1]
    shutil.copytree(package / "store", tmp_path / "store")
    monkeypatch.setattr("faceseg.store.origins._PACKAGE", tmp_path)
    before = code_key("store")
    (tmp_path / "store/packs.py").write_text((tmp_path / "store/packs.py").read_text() + "\n")
    assert code_key("store") != before


@pytest.mark.parametrize("content", [b"", b"id,key\na,b\n", b"\xff\xfe", b"id,key,facts,file,row,seal\na,b\n"])
def test_records_that_are_none_are_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "origins.csv").write_bytes(content)
    assert read_origins(tmp_path / "origins.csv") == []
    assert read_origins(tmp_path / "nowhere.csv") == []
    assert read_origins(None) == []


def test_a_killed_build_leaves_the_next_one_less_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed at the tenth of fourteen pictures: the packs that were whole by then are not made again."""
    clips = {f"{number:04d}": number for number in range(1, 8)}
    for root in ("whole", "killed"):
        download(tmp_path / root, clips)
    expected = run_stages(tmp_path / "whole")
    made: list[str] = []
    really = resized._made

    def until_the_tenth(content: bytes, mask: bytes, source: resized._Source, params: ResizeParams) -> growing.Made:
        made.append(source.id)
        if len(made) == 10:
            raise KeyboardInterrupt
        return really(content, mask, source, params)

    monkeypatch.setattr(growing, "NOTE_SECONDS", 0.0)
    monkeypatch.setattr(resized, "_made", until_the_tenth)
    with pytest.raises(KeyboardInterrupt):
        run_stages(tmp_path / "killed")
    assert not (tmp_path / "killed" / "resized" / "index.csv").exists()
    before = set(made[:8])  # the ninth's pack, at two pictures a clip, was not whole
    assert run_stages(tmp_path / "killed") == expected
    assert before.isdisjoint(made[10:])
    assert len(made[10:]) == 14 - 8
