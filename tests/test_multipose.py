"""The real multipose sample through all six stages: profiles, plus signs in names, labels that are not there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from faceseg.files import read_csv, read_json
from faceseg.folder import write_params
from tests.test_your_own_dataset import checkout

MULTIPOSE = (Path(__file__).parents[1] / "../shared/data/fasseg-multipose-sample.zip").resolve()


@pytest.mark.slow
@pytest.mark.skipif(not MULTIPOSE.exists(), reason=f"{MULTIPOSE} is not here")
def test_the_sample_through_all_stages(tmp_path: Path) -> None:
    repository = checkout(tmp_path / "repository")
    write_params(
        repository / "params.yaml",
        {
            "dataset.name": "fasseg-multipose",
            "dataset.source": str(MULTIPOSE),
            "merge.into": "face6",
            "split.lists.val": ["person-03"],
            "split.val": 0.0,
            "resize.size": 64,
            "train.epochs": 1,
            "evaluate.samples": 1,
        },
    )
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "GIT_"))
    }
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DVC_SITE_CACHE_DIR": str(tmp_path / "site-cache"),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    done = subprocess.run(
        ["dvc", "repro"], cwd=repository, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    # What is wrong is said by name, where a person reads it and where a program does.
    assert "merge: rejected test-personne15248+0+30: other size: " in done.stdout
    assert "is 373 x 512, expected the 366 x 512 of its image, upright" in done.stdout
    assert "merge: without a label, as expected: test-personne08140+0-90, test-personne08141+0-75, " in done.stdout
    assert [row["id"] for row in read_csv(repository / "data/merged/rejected.csv")] == ["test-personne15248+0+30"]
    assert len(list(read_csv(repository / "data/merged/unlabelled.csv"))) == 14
    sizes = read_json(repository / "metrics/splits.json")["sizes"]
    assert {split: size["pictures"] for split, size in sizes.items()} == {"train": 52, "val": 26, "test": 12}
    assert read_json(repository / "metrics/evaluate.json")["native"]["pixel_accuracy"] > 0.1
