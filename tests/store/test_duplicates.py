"""Duplicates across splits: against the comparison of all with all."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from faceseg.store import duplicates
from faceseg.store.duplicates import NEAR_BITS, Placed, across_splits

bits = st.integers(0, 63)
base = st.sampled_from([0, (1 << 64) - 1, 0x0123456789ABCDEF, 0xFFFF0000FFFF0000])


@st.composite
def placed(draw: st.DrawFn) -> list[Placed]:
    pictures = []
    for n in range(draw(st.integers(0, 14))):
        value = draw(base)
        for bit in draw(st.lists(bits, max_size=4)):
            value ^= 1 << bit
        split = draw(st.sampled_from(["train", "val", "test"]))
        pictures.append(Placed(f"p{n:02d}", split, f"{value}/{draw(st.integers(0, 1))}", value))
    return pictures


@given(pictures=placed())
def test_the_pairs_are_those_of_comparing_all_with_all(pictures: list[Placed]) -> None:
    found = across_splits(pictures)
    apart = [(a, b) for a, b in combinations(pictures, 2) if a.split != b.split]
    near = {
        tuple(sorted((a.perceptual, b.perceptual)))
        for a, b in apart
        if a.content != b.content and (a.perceptual ^ b.perceptual).bit_count() <= NEAR_BITS
    }
    by_id = {picture.id: picture for picture in pictures}
    assert sorted(
        tuple(sorted((by_id[pair.first[1]].perceptual, by_id[pair.second[1]].perceptual))) for pair in found.near
    ) == sorted(near)
    for pair in found.near:
        one, other = by_id[pair.first[1]], by_id[pair.second[1]]
        assert one.split != other.split
        assert one.content != other.content
        assert pair.bits == (one.perceptual ^ other.perceptual).bit_count()
    rank = {"train": 0, "val": 1, "test": 2}
    assert [pair.second[1] for pair in sorted(found.exact, key=lambda pair: pair.second[1])] == [
        q.id for q in pictures if any(p.content == q.content and rank[p.split] < rank[q.split] for p in pictures)
    ]


def test_what_is_the_same_in_one_split_is_no_leak() -> None:
    pictures = [Placed("a", "train", "x", 5), Placed("b", "train", "x", 5), Placed("c", "test", "y", 0xFFFF)]
    assert across_splits(pictures) == duplicates.Duplicates([], [], 0)


def test_a_pair_reads_as_a_sentence() -> None:
    found = across_splits([Placed("b", "test", "x", 7), Placed("a", "train", "x", 7), Placed("c", "val", "y", 4)])
    assert [str(pair) for pair in found.exact] == ["a in train and b in test are one file"]
    assert [str(pair) for pair in found.near] == ["a in train and c in val look alike (2 bits apart)"]


def test_thousands_of_look_alikes_are_bounded_and_said() -> None:
    crowd = [Placed(f"{n}", "train" if n % 2 else "test", f"{n}", n << 32) for n in range(3000)]
    assert across_splits(crowd).skipped > 0
