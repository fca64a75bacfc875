"""catalog: what a description may say, and what is said about one that is wrong."""

from typing import Any

import pytest
import yaml

from faceseg.sources import catalog
from faceseg.sources.catalog import DescriptionError

DESCRIPTION = """
title: A test
licence: none
citation: none
homepage: nowhere
source: {kind: synthetic}
layout:
  splits:
    train: {image: 'image/(?P<clip>\\d+)_(?P<frame>\\d+)\\.jpg', mask: 'mask/(?P<clip>\\d+)_(?P<frame>\\d+)\\.png'}
  id: '{clip}_{frame}'
  clip: '{clip}'
expected: null
masks: {kind: index}
classes:
  - {id: 0, name: background, colour: [0, 0, 0]}
  - {id: 2, name: left_eye, colour: [0, 0, 9], mirror: right_eye}
  - {id: 3, name: right_eye, colour: [0, 0, 8], mirror: left_eye}
  - {id: 7, name: nose, colour: [9, 0, 0]}
merges:
  sides: {background: [background], left: [left_eye], right: [right_eye], nose: [nose]}
  parts: {rest: [background], parts: [left_eye, right_eye, nose]}
colours: {left: [0, 0, 1], right: [0, 0, 2], rest: [0, 0, 3], parts: [0, 0, 4]}
"""


def changed(path: str, value: Any) -> str:
    """The description above with one value replaced; None takes it away."""
    description = yaml.safe_load(DESCRIPTION)
    *parents, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    section = description
    for key in parents:
        section = section[key]
    if value is None:
        del section[last]
    else:
        section[last] = value
    return yaml.safe_dump(description, sort_keys=False)


def test_a_merge_gives_classes_colours_members_and_mirror_pairs() -> None:
    merge = catalog.parse("test", DESCRIPTION).merge("sides")
    assert merge.classes == ("background", "left", "right", "nose")
    assert merge.colours == ((0, 0, 0), (0, 0, 1), (0, 0, 2), (9, 0, 0))
    assert merge.members == ((0,), (2,), (3,), (7,))
    assert merge.mirror == ((1, 2),)


def test_merged_sides_need_no_mirror() -> None:
    assert catalog.parse("test", DESCRIPTION).merge("parts").mirror == ()


def test_an_unknown_dataset_lists_the_known_ones() -> None:
    with pytest.raises(
        DescriptionError,
        match=r"no dataset 'synthetic-face', did you mean 'synthetic-faces'\?; known: .*fasseg-frontal, .*multicl",
    ):
        catalog.load("synthetic-face")


def test_a_name_is_no_path() -> None:
    with pytest.raises(DescriptionError, match=r"no dataset '../datasets/fasseg-frontal'"):
        catalog.load("../datasets/fasseg-frontal")


def test_an_unknown_merge_lists_the_known_ones() -> None:
    with pytest.raises(
        DescriptionError, match=r"merge.into: test has no merge 'side', did you mean 'sides'\?; known: parts"
    ):
        catalog.parse("test", DESCRIPTION).merge("side")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("merges.parts.rest", [], "does not name background; it makes of no source class rest; every source class"),
        ("merges.parts.parts", ["left_eye", "right_eye"], "merges.parts: the class map does not name nose; every"),
        ("merges.sides.nose", ["nose", "left_eye"], "merges.sides: the class map names more than once left_eye; every"),
        ("merges.sides.nose", ["nose", "ear"], "names, although they are no source classes, ear; every source class"),
        ("colours.parts", None, "merges.parts: parts has no colour; name it under colours"),
        ("classes.3.id", 2, "classes: the id 2 occurs twice"),
        ("classes.3.name", "background", "classes: the name background occurs twice"),
        ("classes.3.colour", [0, 0, 0], r"classes: the colour \(0, 0, 0\) occurs twice"),
        ("classes.3.id", 255, "classes.3.id: got 255; Input should be less than or equal to 254"),
        ("classes.2.mirror", None, "left_eye has the mirror partner right_eye, which does not name it in return"),
        ("masks.ignored", [255, 7], "masks.ignored: the id 7 is a class too"),
        ("masks.kind", "painted", "masks: got .*'index', 'rgb'"),
        ("layout.splits.train.image", "(", "layout.splits.train: image: .* is not a regular expression"),
        ("layout.splits.train.mask", r"(?P<clip>\d+)", r"id: '\{clip\}_\{frame\}' uses frame, which .* of train does"),
        ("layout.clip", "{person}", "clip: '{person}' uses person, .* known there: clip, frame, split"),
        ("layout.splits", {}, "layout: splits: names no split"),
        ("layout.lists", {"files": {"test": "a"}, "line": "(?P<clip>.*)", "id": "{frame}"},
         "layout.lists: id: '{frame}' uses frame, which"),
        ("layout.lists", {"files": {"test": "("}, "line": "(?P<clip>.*)", "id": "{clip}"}, "is not a regular expr"),
        ("masks", {"kind": "parts", "scale": 1, "rest": "background", "paint": ["nose", "left_eye"]},
         "masks: paint and rest together name each class once; this is not so of right_eye"),
        ("masks", {"kind": "parts", "scale": 1, "rest": "nose",
                   "paint": ["nose", "left_eye", "right_eye", "background"]},
         "masks: paint and rest together name each class once; this is not so of nose"),
        ("masks", {"kind": "parts", "scale": 1, "rest": "background", "paint": ["nose", "left_eye", "right_eye"]},
         "layout: 'mask/.* does not name the part of a mask"),
        ("source", {"kind": "files", "files": [{"url": "https://a/b.tgz", "sha256": None, "unpack": "rar"}]},
         "source.files.files.0.unpack: got 'rar'; Input should be 'tgz'"),
        ("title", None, "title: Field required"),
        ("licences", "MIT", "licences: Extra inputs are not permitted"),
        ("source", {"kind": "https", "url": "http://a/b.zip", "checks": "archive", "sha256": "0" * 64},
         "source.https.url: got 'http://a/b.zip'; String should match pattern"),
        ("source", {"kind": "https", "url": "https://a/b.zip", "checks": "archive"},
         "source.https.sha256: Field required"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(path: str, value: Any, message: str) -> None:
    with pytest.raises(DescriptionError, match=rf"datasets/test.yaml:\n(.*\n)*.*{message}"):
        catalog.parse("test", changed(path, value))


def test_lists_alone_name_the_split() -> None:
    description = yaml.safe_load(DESCRIPTION)
    description["layout"]["lists"] = {"files": {"test": "a"}, "line": "(?P<clip>.*)", "id": "{clip}"}
    catalog.parse("test", yaml.safe_dump(description))
    description["layout"]["id"] = "{split}-{clip}_{frame}"
    with pytest.raises(DescriptionError, match="lists: they say which picture belongs to which split, so splits has"):
        catalog.parse("test", yaml.safe_dump(description))


def test_a_merge_that_a_flip_would_tear_apart_is_refused() -> None:
    torn = {"rest": ["background", "left_eye"], "parts": ["right_eye", "nose"]}
    with pytest.raises(
        DescriptionError, match=r"merges.parts: rest holds classes whose mirror partners lie in different"
    ):
        catalog.parse("test", changed("merges.parts", torn))


@pytest.mark.parametrize(
    ("text", "message"), [("- 1", "holds list, expected keys: name, title"), ("a: [", "not valid YAML")]
)
def test_what_is_no_description(text: str, message: str) -> None:
    with pytest.raises(DescriptionError, match=message):
        catalog.parse("test", text)
