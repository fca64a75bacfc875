"""The real multipose sample through all six stages: profiles, plus signs in names, labels that are not there."""

from pathlib import Path

import pytest

from faceseg.files import read_csv
from tests.checkout import Repository

MULTIPOSE = (Path(__file__).parents[1] / "../shared/data/fasseg-multipose-sample.zip").resolve()


@pytest.mark.slow
@pytest.mark.skipif(not MULTIPOSE.exists(), reason=f"{MULTIPOSE} is not here")
def test_the_sample_through_all_stages(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    repository.change(
        {
            "dataset": {"name": "fasseg-multipose", "source": str(MULTIPOSE)},
            "merge": {"into": "face6"},
            "split": {"lists": {"val": ["person-03"]}, "val": 0.0},
            "train": {"epochs": 1, "batch_size": 8},
            "evaluate": {"samples": 1},
        }
    )
    said = repository.run("dvc", "repro")
    # What is wrong is said by name, where a person reads it and where a program does.
    assert "merge: rejected test-personne15248+0+30: other size: " in said
    assert "is 373 x 512, expected the 366 x 512 of its image, upright" in said
    assert "merge: without a label, as expected: test-personne08140+0-90, test-personne08141+0-75, " in said
    assert [row["id"] for row in read_csv(repository.path / "data/merged/rejected.csv")] == ["test-personne15248+0+30"]
    assert len(list(read_csv(repository.path / "data/merged/unlabelled.csv"))) == 14
    sizes = repository.json("metrics/splits.json")["sizes"]
    assert {split: size["pictures"] for split, size in sizes.items()} == {"train": 52, "val": 26, "test": 12}
    assert repository.json("metrics/evaluate.json")["native"]["pixel_accuracy"] > 0.1
