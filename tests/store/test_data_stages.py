"""The stages resize and cache as commands: what a person reads when an input is missing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("stage", "missing"), [("resize", "data/merged/index.csv"), ("cache", "data/resized/index.csv")]
)
def test_a_stage_without_its_inputs_names_the_file_and_the_command(tmp_path, stage, missing):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    run = subprocess.run(
        [sys.executable, "-m", f"stages.{stage}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert f"{missing} is not there; `dvc repro` makes what is missing, and `dvc checkout` brings back" in run.stderr
    assert "Traceback" not in run.stderr
