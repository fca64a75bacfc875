"""Packs: where a clip goes, the same bytes every time, and what is said when something is missing."""

import hashlib
import pickle
import zipfile

import pytest

from faceseg.store.packs import PACKS, MissingInputError, PackReader, PackWriter, pack_of, pack_path, remove_other_packs


def test_the_pack_of_a_clip_is_its_hash():
    assert pack_of("0001") == int(hashlib.sha256(b"0001").hexdigest()[:16], 16) % 32
    numbers = {pack_of(f"clip {n}") for n in range(1000)}
    assert numbers == set(range(PACKS))


def write(folder, members):
    with PackWriter(folder, "masks", pack_of("a")) as pack:
        for member, content in members:
            pack.add(member, content)
    return pack.path


def test_what_is_written_is_read(tmp_path):
    write(tmp_path, [("a/1.png", b"one"), ("ä.png", b"two")])
    with PackReader(tmp_path, "masks") as reader:
        assert reader.read("a", "a/1.png") == b"one"
        assert reader.read("a", "ä.png") == b"two"


def test_the_bytes_tell_nothing_about_the_run(tmp_path):
    first = write(tmp_path / "first", [("1.png", b"one")])
    second = write(tmp_path / "second", [("1.png", b"one")])
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as pack:
        (member,) = pack.infolist()
    assert member.date_time == (1980, 1, 1, 0, 0, 0)
    assert member.compress_type == zipfile.ZIP_STORED
    assert member.create_system == 3


def test_a_pack_appears_whole_or_not_at_all(tmp_path):
    def fail_halfway():
        with PackWriter(tmp_path, "masks", 3) as pack:
            pack.add("1.png", b"one")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail_halfway()
    assert list(tmp_path.iterdir()) == []


def test_an_id_that_comes_twice_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"masks-\d{5}.zip already holds '1.png'; two samples have the same id"):
        write(tmp_path, [("1.png", b"one"), ("1.png", b"two")])


def test_a_missing_pack_names_itself_and_the_cure(tmp_path):
    message = r"masks-\d{5}.zip is not there; `dvc repro` makes what is missing, and `dvc checkout` brings back"
    with PackReader(tmp_path, "masks") as reader, pytest.raises(MissingInputError, match=message):
        reader.read("a", "1.png")


def test_a_missing_member_names_itself(tmp_path):
    write(tmp_path, [("1.png", b"one")])
    with PackReader(tmp_path, "masks") as reader, pytest.raises(MissingInputError, match=r"does not hold '2.png'"):
        reader.read("a", "2.png")


def test_a_broken_pack_and_a_broken_member_are_named(tmp_path):
    path = write(tmp_path, [("1.png", b"one")])
    path.write_bytes(path.read_bytes().replace(b"one", b"eno"))
    with PackReader(tmp_path, "masks") as reader, pytest.raises(MissingInputError, match=r"is damaged at '1.png'"):
        reader.read("a", "1.png")
    path.write_bytes(b"no zip")
    with PackReader(tmp_path, "masks") as reader, pytest.raises(MissingInputError, match="is not a readable zip file"):
        reader.read("a", "1.png")


def test_the_message_survives_the_way_from_another_process():
    error = MissingInputError("data/x is not there")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301 - our own bytes, as joblib sends them


def test_a_reader_opens_its_own_files_in_another_process(tmp_path):
    write(tmp_path, [("1.png", b"one")])
    with PackReader(tmp_path, "masks") as reader:
        reader.read("a", "1.png")
        with pickle.loads(pickle.dumps(reader)) as sent:  # noqa: S301 - our own bytes, as joblib sends them
            assert sent.read("a", "1.png") == b"one"


def test_packs_of_an_earlier_run_are_removed(tmp_path):
    for name in ("masks-00001.zip", "masks-00002.zip", "pack-00002.zip", "masks-x.zip"):
        (tmp_path / name).write_bytes(b"")
    remove_other_packs(tmp_path, "masks", {1})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["masks-00001.zip", "masks-x.zip", "pack-00002.zip"]
    assert pack_path(tmp_path, "masks", 1).exists()
