"""Splits: laws by hypothesis, the rules one by one, and every message."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceseg.params import Limit, SplitLists, SplitParams
from faceseg.store.splits import assign, fraction, leaks

NO_LIMIT = Limit(train=None, val=None, test=None)


@dataclass
class Picture:
    clip: str
    split: str = "train"
    classes: tuple[int, ...] = ()


def pictures(clips, split="train", each=1):
    return [Picture(clip, split) for clip in clips for _ in range(each)]


def params(by="clip", val=0.2, test=0.2, seed=0, listed_train=(), listed_val=(), listed_test=()):
    lists = SplitLists(train=list(listed_train), val=list(listed_val), test=list(listed_test))
    return SplitParams(by=by, val=val, test=test, seed=seed, lists=lists)


CLIPS = [f"{n:04d}" for n in range(60)]
names = st.lists(st.text("abc012", min_size=1, max_size=6), unique=True, max_size=20)


def test_the_place_of_a_clip_is_the_head_of_its_hash():
    # sha256("7/0001") begins with 25d5180e: 0x25d5180e / 2**32 = 0.147782806
    assert fraction(7, "0001") == pytest.approx(0.147782806, abs=1e-9)
    assert fraction(7, "0001") != fraction(8, "0001")


def test_the_places_are_spread_evenly():
    places = [fraction(0, clip) for clip in map(str, range(4000))]
    assert 0 <= min(places) < max(places) < 1
    assert sum(place < 0.15 for place in places) / 4000 == pytest.approx(0.15, abs=0.02)


@given(more=names, by=st.sampled_from(["own", "clip"]), seed=st.integers(0, 5))
def test_new_clips_never_move_others(more, by, seed):
    old = pictures(CLIPS) + pictures(["t1", "t2"], "test")
    new = [picture for picture in pictures(more) if picture.clip not in {"t1", "t2"}]
    before = assign(old, params(by, seed=seed), NO_LIMIT)
    after = assign(new + old, params(by, seed=seed), NO_LIMIT)
    assert {clip: after[clip] for clip in before} == before


@given(
    each=st.lists(st.integers(1, 5), min_size=60, max_size=60),
    by=st.sampled_from(["own", "clip"]),
    limit=st.one_of(st.none(), st.integers(5, 60)),
)
def test_a_clip_is_never_parted_and_a_limit_never_exceeded(each, by, limit):
    samples = [Picture(clip) for clip, n in zip(CLIPS, each, strict=True) for _ in range(n)]
    samples += pictures(["t1", "t2"], "test", 5)
    split_of = assign(samples, params(by), Limit(train=limit, val=limit, test=limit))
    placed = [(sample.clip, split_of[sample.clip]) for sample in samples if sample.clip in split_of]
    assert leaks(placed) == []
    for split in ("train", "val", "test"):
        size = sum(where == split for _, where in placed)
        assert size > 0
        assert limit is None or size <= limit


@given(
    each=st.lists(st.integers(1, 9), min_size=60, max_size=60),
    small=st.integers(9, 60),
    more=st.integers(0, 60),
)
def test_a_larger_limit_holds_what_a_smaller_one_held(each, small, more):
    samples = [Picture(clip) for clip, n in zip(CLIPS, each, strict=True) for _ in range(n)]
    few = assign(samples, params(), Limit(train=small, val=None, test=None))
    many = assign(samples, params(), Limit(train=small + more, val=None, test=None))
    assert few.items() <= many.items()


def test_own_keeps_the_test_split_and_carves_validation_from_train():
    split_of = assign(pictures(CLIPS) + pictures(["t1", "t2"], "test"), params("own", val=0.3), NO_LIMIT)
    assert {clip for clip, split in split_of.items() if split == "test"} == {"t1", "t2"}
    assert {clip for clip, split in split_of.items() if split == "val"} == {c for c in CLIPS if fraction(0, c) < 0.3}


def test_own_keeps_a_validation_split_and_carves_nothing():
    samples = pictures(CLIPS) + pictures(["v"], "val") + pictures(["t"], "test")
    split_of = assign(samples, params("own", val=0.3), NO_LIMIT)
    assert [clip for clip, split in split_of.items() if split == "val"] == ["v"]


def test_by_clip_does_not_look_at_the_own_splits():
    split_of = assign(pictures(CLIPS, "test"), params("clip"), NO_LIMIT)
    assert split_of == assign(pictures(CLIPS, ""), params("clip"), NO_LIMIT)
    for clip, split in split_of.items():
        place = fraction(0, clip)
        assert split == ("test" if place < 0.2 else "val" if place < 0.4 else "train")


def test_lists_come_before_everything_else():
    samples = pictures(["a", "b", "c"]) + pictures(["t", "u"], "test")
    split_of = assign(samples, params("own", val=0.0), NO_LIMIT)
    assert split_of == {"a": "train", "b": "train", "c": "train", "t": "test", "u": "test"}
    split_of = assign(
        samples, params("own", val=0.0, listed_val=["b", "t"], listed_test=["a"], listed_train=["u"]), NO_LIMIT
    )
    assert split_of == {"a": "test", "b": "val", "c": "train", "t": "val", "u": "train"}


def test_no_validation_is_allowed():
    assert "val" not in assign(pictures(CLIPS), params("clip", val=0.0), NO_LIMIT).values()


def test_an_unknown_group_is_named_with_its_neighbours():
    with pytest.raises(
        ValueError, match=r"split.lists.val names '0100', which is no group .* near it: .*0010.* \(60 gr"
    ):
        assign(pictures(CLIPS), params(val=0.1, listed_val=["0100"]), NO_LIMIT)


def test_own_splits_that_part_a_clip_are_refused_unless_it_is_listed():
    samples = pictures(["a", "b"]) + pictures(["a", "t"], "test")
    with pytest.raises(
        ValueError, match="own splits part the clip 'a': it has pictures in train and in test; set spli"
    ):
        assign(samples, params("own", val=0.0), NO_LIMIT)
    assert assign(samples, params("own", val=0.0, listed_test=["a"]), NO_LIMIT)["a"] == "test"


def test_an_own_split_of_another_name_is_refused():
    with pytest.raises(ValueError, match="gives 'a' the split 'dev', expected one of"):
        assign(pictures(["a"], "dev"), params("own"), NO_LIMIT)


def test_an_empty_split_is_refused_with_clips_that_would_do():
    few = pictures(["a", "b", "c"]) + pictures(["t"], "test")
    with pytest.raises(
        ValueError, match=r"val split is empty: of 3 train clips none .* split.lists.val, for example \[[abc]\]"
    ):
        assign(few, params("own", val=0.0001), NO_LIMIT)
    with pytest.raises(
        ValueError, match=r"the test split is empty: split.by is 'own', and this dataset has no test spli"
    ):
        assign(pictures(CLIPS), params("own"), NO_LIMIT)
    with pytest.raises(
        ValueError, match=r"the test split is empty: split.by is 'clip' and split.test is 0; set split.te"
    ):
        assign(pictures(CLIPS), params("clip", test=0.0), NO_LIMIT)
    with pytest.raises(ValueError, match=r"the train split is empty: of 1 test clips none .* split.lists.train"):
        assign(pictures(["t"], "test"), params("own", val=0.0), NO_LIMIT)


def test_the_proposed_clips_mend_it():
    few = pictures(["a", "b", "c"]) + pictures(["t"], "test")
    with pytest.raises(ValueError, match="for example") as error:
        assign(few, params("own", val=0.0001), NO_LIMIT)
    proposed = str(error.value).rpartition("[")[2].rstrip("]").split(", ")
    assert set(assign(few, params("own", val=0.0001, listed_val=proposed), NO_LIMIT).values()) == {
        "train",
        "val",
        "test",
    }


def test_a_limit_below_the_first_clip_is_refused():
    with pytest.raises(ValueError, match=r"train split is empty: dataset.limit.train is 3, .* alone has 20 pictures"):
        assign(pictures(CLIPS, each=20), params(), Limit(train=3, val=None, test=None))


def test_no_pictures_are_refused():
    with pytest.raises(ValueError, match=r"got no pictures to split; look into rejected.csv"):
        assign([], params(), NO_LIMIT)


def test_leaks_are_the_clips_on_two_sides():
    assert leaks([("a", "train"), ("b", "train"), ("a", "train"), ("b", "test"), ("c", "val")]) == ["b"]


def holding(classes_by_clip, split="train"):
    return [Picture(clip, split, classes) for clip, classes in classes_by_clip.items()]


def test_a_class_that_only_other_splits_have_is_refused_with_clips_that_bring_it():
    samples = holding({"a": (0, 1), "b": (0,)}) + holding({"t": (0, 1, 2), "u": (0, 2, 3), "v": (0,)}, "test")
    with pytest.raises(
        ValueError, match=r"train has no picture of glasses, 3, which other splits have.* example \[u\]$"
    ) as error:
        assign(samples, params("own", val=0.0), NO_LIMIT, ("background", "skin", "glasses"))
    proposed = str(error.value).rpartition("[")[2].rstrip("]").split(", ")
    split_of = assign(samples, params("own", val=0.0, listed_train=proposed), NO_LIMIT)
    assert split_of == {"a": "train", "b": "train", "u": "train", "t": "test", "v": "test"}


def test_the_proposal_for_a_lost_class_keeps_what_was_listed_and_leaves_no_split_empty():
    samples = holding({"a": (0,), "b": (0,)}) + holding({"t": (0, 1)}, "test")
    assert assign(samples, params("own", val=0.0), NO_LIMIT) == {"a": "train", "b": "train", "t": "test"}
    samples += holding({"u": (0, 1)}, "test")
    with pytest.raises(ValueError, match=r"split.lists.train, for example \[a, [tu]\]$"):
        assign(samples, params("own", val=0.0, listed_train=["a"]), NO_LIMIT)


def test_a_class_that_only_the_limit_takes_from_train_is_no_error():
    samples = holding({"a": (0, 1), "b": (0,), "c": (0,)}) + holding({"t": (0, 1)}, "test")
    split_of = assign(samples, params("own", val=0.0), Limit(train=1, val=None, test=None))
    assert sorted(split_of.values()) == ["test", "train"]


@given(
    held=st.lists(st.sets(st.integers(0, 4), min_size=1), min_size=4, max_size=12),
    tested=st.sets(st.integers(0, 4), min_size=1),
)
def test_clips_proposed_for_an_empty_split_leave_train_every_class_it_can_keep(held, tested):
    train = holding({f"c{n}": tuple(classes) for n, classes in enumerate(held)})
    known = set().union(*held)
    samples = train + holding({"t": tuple(tested & known) or (min(known),)}, "test")
    with pytest.raises(ValueError, match="val split is empty") as error:
        assign(samples, params("own", val=1e-9), NO_LIMIT)
    proposed = str(error.value).rpartition("[")[2].rstrip("]").split(", ")
    left = set().union(*(picture.classes for picture in train if picture.clip not in proposed))
    spare = any(known == set().union(*(other.classes for other in train if other is not picture)) for picture in train)
    assert not spare or left == known
