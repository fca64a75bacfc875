"""A file is whole or not there, and the same content is the same bytes."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from faceseg.files import atomic_write, read_csv, read_json, sha256, write_csv, write_json


def half_then_fail() -> Iterator[bytes]:
    yield b"half of the n"
    raise ZeroDivisionError


def test_a_failed_write_leaves_the_old_file_and_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as file:
        file.writelines(half_then_fail())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_appears_at_the_end_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with atomic_write(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"


def test_json_is_sorted_and_refuses_nan(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": 1, "a": ["é"]})
    assert path.read_text(encoding="utf-8") == '{\n  "a": [\n    "é"\n  ],\n  "b": 1\n}\n'
    assert read_json(path) == {"a": ["é"], "b": 1}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"iou": math.nan})
    assert json.loads(path.read_text(encoding="utf-8"))["b"] == 1


def test_csv_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_csv(path, ["id", "reason"], [["x", 'no "mask", none'], ["y", 2]])
    assert path.read_bytes() == b'id,reason\nx,"no ""mask"", none"\ny,2\n'
    assert list(read_csv(path)) == [{"id": "x", "reason": 'no "mask", none'}, {"id": "y", "reason": "2"}]


def test_sha256_of_a_known_text(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")  # the first example of FIPS 180-2
    assert sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
