"""Measurements read from commits, tags, experiments and the workspace of a real git repository."""

from pathlib import Path

import numpy as np
import pytest

from faceseg.evaluation.compare import ComparisonError
from faceseg.evaluation.revisions import changed, read_revision
from tests.evaluation.clips import Measurements, draw, measured


@pytest.fixture
def repository(tmp_path: Path) -> Measurements:
    """Tags one and two, and a third measurement in the workspace."""
    repository = Measurements(tmp_path)
    counts = draw(np.random.default_rng(0), 4)
    repository.write(measured(counts[:, 0]), {"train": {"epochs": 1}}, "a" * 32)
    repository.commit("one")
    repository.write(measured(counts[:, 1]), {"train": {"epochs": 2}}, "b" * 32)
    repository.commit("two")
    repository.write(measured(counts[:, 0]), {"train": {"epochs": 3}}, "c" * 32)
    return repository


def test_every_side_is_read_as_it_was_written(repository: Measurements) -> None:
    counts = draw(np.random.default_rng(0), 4)
    for name, side, epochs in (("one", 0, 1), ("HEAD", 1, 2), ("workspace", 0, 3)):
        revision = read_revision(name, repository.root)
        expected = measured(counts[:, side])
        assert revision.measured.classes == expected.classes
        assert {*revision.measured.clips} == {*expected.clips}
        for clip, matrix in expected.clips.items():
            np.testing.assert_array_equal(revision.measured.clips[clip], matrix)
        assert revision.params == {"train": {"epochs": epochs}}
    assert read_revision("workspace", repository.root).commit is None
    assert read_revision("one", repository.root).data == {"models": "aaaaaaaa"}


def test_a_project_in_a_folder_of_a_larger_repository_is_read_from_there(tmp_path: Path) -> None:
    outer = Measurements(tmp_path)
    inner = tmp_path / "project"
    inner.mkdir()
    outer.root = inner
    outer.write(measured(draw(np.random.default_rng(0), 3)[:, 0]), {}, "a" * 32)
    outer.commit("one")
    assert len(read_revision("one", inner).measured.clips) == 3


def test_an_experiment_is_found_by_its_name(repository: Measurements) -> None:
    one, two = repository.git("rev-parse", "one"), repository.git("rev-parse", "two")
    repository.git("update-ref", f"refs/exps/{one[:2]}/{one[2:]}/bold-bee", two)
    assert read_revision("bold-bee", repository.root).commit == two[:7]
    repository.git("update-ref", f"refs/exps/{two[:2]}/{two[2:]}/bold-bee", one)
    with pytest.raises(ComparisonError, match="2 experiments are called bold-bee; give one of the commits"):
        read_revision("bold-bee", repository.root)
    with pytest.raises(ComparisonError, match=r"'shy-bee' is no git revision and no experiment here; .*: bold-bee"):
        read_revision("shy-bee", repository.root)


def test_a_revision_that_was_not_evaluated_says_how(repository: Measurements) -> None:
    (repository.root / "metrics/clips.csv").unlink()
    repository.commit("bare")
    with pytest.raises(ComparisonError, match=r"bare has no metrics/clips.csv: run `dvc repro` on bare and commit"):
        read_revision("bare", repository.root)
    with pytest.raises(ComparisonError, match=r"the workspace has no metrics/clips.csv: run `dvc repro`"):
        read_revision("workspace", repository.root)


def test_an_option_is_no_revision(repository: Measurements) -> None:
    with pytest.raises(ComparisonError, match="'--all' is no git revision"):
        read_revision("--all", repository.root)


def test_changes_of_nested_sections() -> None:
    base = {"a": {"b": 1, "c": [1, 2], "d": "x"}, "e": None}
    head = {"a": {"b": 1, "c": [1], "d": {"f": True}}, "g": "y"}
    assert list(changed(base, head)) == [
        ("a.c", "[1, 2]", "[1]"),
        ("a.d.f", "-", "true"),
        ("e", "null", "-"),
        ("g", "-", "y"),
    ]
    assert list(changed(base, base)) == []
