"""A checkpoint comes back bit for bit, or not at all; a run has one trainer."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faceseg.training.checkpoint import RunFolder, differences, forget, remove_run, runs_in


def arrays(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(3, 4)).astype(np.float32), np.array(7, np.int64), np.zeros((0, 2), np.float32)]


def test_arrays_and_state_come_back(tmp_path: Path) -> None:
    with RunFolder(tmp_path, {"data": 1}) as folder:
        folder.save(3, arrays(3), {"waited": 2})
    with RunFolder(tmp_path, {"data": 1}) as folder:
        saved = folder.latest()
    assert saved is not None
    assert (saved[0], saved[2]) == (3, {"waited": 2})
    for got, expected in zip(saved[1], arrays(3), strict=True):
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)


def test_two_are_kept_and_a_damaged_one_falls_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with RunFolder(tmp_path, {}) as folder:
        for epoch in (1, 2, 3):
            folder.save(epoch, arrays(epoch), {})
        assert sorted(path.name for path in folder.path.glob("epoch-*.npz")) == ["epoch-00002.npz", "epoch-00003.npz"]
        damaged = folder.path / "epoch-00003.npz"
        content = bytearray(damaged.read_bytes())
        content[len(content) // 2] ^= 1
        damaged.write_bytes(content)
        saved = folder.latest()
    assert saved is not None
    assert saved[0] == 2
    np.testing.assert_array_equal(saved[1][0], arrays(2)[0])
    assert "epoch-00003.json cannot be used (its hash is another" in capsys.readouterr().out


def test_two_damaged_ones_do_not_push_out_a_new_one(tmp_path: Path) -> None:
    with RunFolder(tmp_path, {}) as folder:
        for epoch in (4, 5):
            folder.save(epoch, arrays(epoch), {"best_weights": folder.save_best(epoch, arrays(epoch))})
        (folder.path / "epoch-00004.npz").write_bytes(b"damaged")
        (folder.path / "epoch-00005.json").write_text("{")
        assert folder.latest() is None
        best = folder.save_best(1, arrays(1))
        folder.save(1, arrays(1), {"best_weights": best})
        saved = folder.latest()
        assert saved is not None
        assert saved[0] == 1
        np.testing.assert_array_equal(folder.load_best(best)[0], arrays(1)[0])


def test_damaged_best_weights_make_a_checkpoint_unusable(tmp_path: Path) -> None:
    with RunFolder(tmp_path, {}) as folder:
        for epoch in (1, 2):
            folder.save(epoch, arrays(epoch), {"best_weights": folder.save_best(epoch, arrays(epoch))})
        (folder.path / "best-00002.npz").write_bytes((folder.path / "best-00001.npz").read_bytes())
        saved = folder.latest()
        assert saved is not None
        assert saved[0] == 1


def test_best_weights_stay_while_a_checkpoint_names_them(tmp_path: Path) -> None:
    with RunFolder(tmp_path, {}) as folder:
        first = folder.save_best(1, arrays(1))
        folder.save(1, arrays(1), {"best_weights": first})
        second = folder.save_best(2, arrays(2))
        folder.save(2, arrays(2), {"best_weights": second})
        assert len(list(folder.path.glob("best-*.npz"))) == 2
        folder.save(3, arrays(3), {"best_weights": second})
        assert [path.name for path in folder.path.glob("best-*.npz")] == ["best-00002.npz"]
        np.testing.assert_array_equal(folder.load_best(second)[0], arrays(2)[0])


def test_another_identity_is_another_run_and_says_what_differs(tmp_path: Path) -> None:
    with RunFolder(tmp_path, {"data": "a", "train": {"seed": 0}}) as folder:
        folder.save(1, arrays(1), {})
    with RunFolder(tmp_path, {"data": "b", "train": {"seed": 0}}) as folder:
        assert folder.latest() is None
        assert folder.what_differs() == ["data: a -> b"]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"data": "b"}, "data: a -> b"),
        ({"code": "y"}, "code: x -> y"),
        ({"train": {"learning_rate": 0.2}}, "train.learning_rate: 0.1 -> 0.2"),
        ({"surroundings": {"threads": 4}}, "surroundings.threads: 2 -> 4"),
    ],
)
def test_a_checkpoint_of_other_data_code_or_parameters_is_not_resumed(
    tmp_path: Path, change: dict[str, Any], line: str
) -> None:
    identity = {"data": "a", "code": "x", "train": {"learning_rate": 0.1}, "surroundings": {"threads": 2}}
    with RunFolder(tmp_path, identity) as folder:
        folder.save(1, arrays(1), {})
    with RunFolder(tmp_path, {**identity, **change}) as folder:
        assert folder.latest() is None
        assert folder.what_differs() == [line]
        folder.save(1, arrays(1), {})
        assert folder.what_differs() == [], "it goes on from its own"


def test_what_abandoned_runs_take_is_listed_and_removed_but_not_from_under_a_trainer(tmp_path: Path) -> None:
    for seed in (1, 2):
        with RunFolder(tmp_path, {"seed": seed}) as folder:
            folder.save(seed, arrays(1), {})
    with RunFolder(tmp_path, {"seed": 2}) as folder:
        runs = {run.epoch: run for run in runs_in(tmp_path)}
        assert {epoch: run.running for epoch, run in runs.items()} == {1: False, 2: True}
        assert runs[1].bytes == sum(path.stat().st_size for path in runs[1].path.iterdir())
        forget(tmp_path, {"seed": 2})
        assert not remove_run(folder.path)
        assert remove_run(runs[1].path)
        assert [run.epoch for run in runs_in(tmp_path)] == [2]
    forget(tmp_path, {"seed": 2})
    forget(tmp_path, {"seed": 3})
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_save_left_is_removed(tmp_path: Path) -> None:
    with RunFolder(tmp_path, {}) as folder:
        (folder.path / ".epoch-00001.npz.1.tmp").write_bytes(b"half")
    with RunFolder(tmp_path, {}) as folder:
        assert list(folder.path.glob(".*")) == []


def test_an_ended_training_keeps_its_last_checkpoint_and_its_best_weights(tmp_path: Path) -> None:
    with RunFolder(tmp_path, {}) as folder:
        best = folder.save_best(1, arrays(1))
        for epoch in (1, 2, 3):
            folder.save(epoch, arrays(epoch), {"best_weights": best})
        folder.end()
        assert {path.name for path in folder.path.glob("*.npz")} == {"best-00001.npz", "epoch-00003.npz"}
        saved = folder.latest()
    assert saved is not None
    assert saved[0] == 3


def test_differences_name_the_leaf() -> None:
    assert differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3, "d": 4}}) == ["a.c: 2 -> 3", "a.d: None -> 4"]


def test_a_second_trainer_is_told_who_holds_the_run(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from faceseg.training.checkpoint import RunFolder\n"
        f"with RunFolder(Path({str(tmp_path)!r}), {{}}): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with (
        pytest.raises(ValueError, match=f"this training is already running: process {holder.pid} on "),
        RunFolder(tmp_path, {}),
    ):
        pass
    holder.kill()
    holder.communicate()
    with RunFolder(tmp_path, {}) as folder:
        assert folder.latest() is None
