"""Why two models differ, named field by field."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from faceseg.cli import app
from faceseg.files import write_json
from faceseg.verification.model import Difference, compare_models

MADE_FROM: dict[str, Any] = {
    "data": "d1",
    "code": {"models": "c1", "training": "c2"},
    "train": {"seed": 0, "deterministic": True},
    "surroundings": {"threads": 2, "devices": ["a CPU"], "onednn": "default", "settings": {}},
}


def model(folder: Path, weights: str = "w1", **surroundings: Any) -> Path:
    made_from = {**MADE_FROM, "surroundings": {**MADE_FROM["surroundings"], **surroundings}}
    write_json(folder / "model.json", {"weights_sha256": weights, "made_from": made_from})
    return folder


def test_what_differs_is_named_with_both_values(tmp_path: Path) -> None:
    here = model(tmp_path / "here")
    there = model(tmp_path / "there", "w2", threads=4, settings={"OMP_NUM_THREADS": "1"})
    comparison = compare_models(here, there)
    assert comparison.differences == [
        Difference("surroundings.settings.OMP_NUM_THREADS", None, "1"),
        Difference("surroundings.threads", 2, 4),
    ]
    assert not comparison.same
    run = CliRunner().invoke(app, ["verify", "model", str(there / "model.json"), "--models", str(here)])
    assert run.exit_code == 1
    assert "surroundings.threads" in run.stdout
    assert "The weights differ, and so does the above, on which they depend." in run.stdout


def test_the_same_model_is_the_same(tmp_path: Path) -> None:
    here, there = model(tmp_path / "here"), model(tmp_path / "there")
    run = CliRunner().invoke(app, ["verify", "model", str(there), "--models", str(here), "--json"])
    assert run.exit_code == 0
    said = json.loads(run.stdout)
    assert (said["same"], said["same_weights"], said["differences"]) == (True, True, [])


def test_weights_that_differ_for_no_recorded_reason(tmp_path: Path) -> None:
    here, there = model(tmp_path / "here"), model(tmp_path / "there", "w2")
    run = CliRunner().invoke(app, ["verify", "model", str(there), "--models", str(here)])
    assert run.exit_code == 1
    assert "nothing that is recorded does. On a GPU, set train.deterministic" in run.stdout.replace("\n", " ")


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    here = model(tmp_path / "here")
    with pytest.raises(ValueError, match=r"nowhere/model.json is not there; expected a model's folder"):
        compare_models(here, tmp_path / "nowhere")
    write_json(tmp_path / "other" / "model.json", {})
    with pytest.raises(ValueError, match=r"does not say made_from and weights_sha256; expected the model.json of a"):
        compare_models(here, tmp_path / "other")


def test_surroundings_name_what_changes_the_bits() -> None:
    """CPU, threads, oneDNN, determinism, settings of kernels and versions; as another process with others sees them."""
    code = (
        "import json, sys\n"
        "from faceseg.quiet import import_tensorflow\n"
        "import_tensorflow()\n"
        "from faceseg.training.setup import surroundings\n"
        "print(json.dumps(surroundings(json.loads(sys.argv[1]))))"
    )

    def seen(deterministic: bool, **environment: str) -> dict[str, Any]:
        run = subprocess.run(
            [sys.executable, "-c", code, json.dumps(deterministic)],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
        return found

    plain = seen(True)
    changed = seen(False, TF_ENABLE_ONEDNN_OPTS="0", OMP_NUM_THREADS="1")
    assert {key for key in plain if plain[key] != changed[key]} == {"onednn", "deterministic", "settings"}
    assert changed["settings"]["OMP_NUM_THREADS"] == "1"
    assert plain["threads"] == len(os.sched_getaffinity(0))
    assert {"devices", "machine", "libc", "python", "tensorflow", "keras", "numpy", "h5py"} < plain.keys()
