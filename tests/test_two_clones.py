"""Same inputs, same bytes: two clones that differ in all that may not matter end with the same dvc.lock."""

import os
from pathlib import Path

import pytest
from numpy._core._multiarray_umath import __cpu_baseline__, __cpu_dispatch__, __cpu_features__

from tests.checkout import LEAST, STAGES, Repository

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pipeline")]

OUTPUTS = ("data", "models", "metrics", "reports")


def made(repository: Repository) -> dict[str, bytes]:
    """Everything that the stages wrote, by path, and dvc.lock."""
    files = [path for name in OUTPUTS for path in (repository.path / name).rglob("*") if path.is_file()]
    return {
        path.relative_to(repository.path).as_posix(): path.read_bytes()
        for path in [*files, repository.path / "dvc.lock"]
    }


def other_surroundings(repository: Repository, workers: int, **environment: str) -> None:
    """A home, a language, a time zone, an order of sets and a number of workers of its own."""
    home = repository.path.parent / f"home of {repository.path.name}"
    home.mkdir()
    repository.environment |= {"HOME": str(home), **environment}
    repository.change({"compute": {"workers": workers}})


def test_two_clones_make_the_same_bytes(tmp_path: Path) -> None:
    origin = Repository(tmp_path / "origin")
    origin.change(LEAST)
    origin.commit("nothing was made yet")
    one = origin.clone(tmp_path / "one")
    two = origin.clone(tmp_path / "another place with spaces" / "zwei")
    other_surroundings(one, 1, LC_ALL="C", TZ="UTC", PYTHONHASHSEED="1")
    other_surroundings(two, 2, LC_ALL="C.UTF-8", TZ="Asia/Kathmandu", PYTHONHASHSEED="2")

    assert one.repro() == STAGES
    # The data stages once more without what this processor has beyond NumPy's least: another machine.
    optional = [name for name in __cpu_dispatch__ if __cpu_features__.get(name) and name not in __cpu_baseline__]
    usual = dict(two.environment)
    before = os.umask(0o077)
    try:
        two.environment |= {"NPY_DISABLE_CPU_FEATURES": " ".join(optional), "JSIMD_FORCENONE": "1"}
        assert two.repro("cache") == STAGES[:4]
        two.environment = usual
        assert two.repro() == STAGES[4:]
    finally:
        os.umask(before)

    first, second = made(one), made(two)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    assert {"models/model.weights.h5", "metrics/evaluate.json", "dvc.lock", "reports/report.html"} < first.keys()
    for repository in (one, two):
        repository.run("faceseg", "verify")
    assert "The weights are the same" in one.run("faceseg", "verify", "model", str(two.path / "models"))
