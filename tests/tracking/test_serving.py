"""The registered model, served by `mlflow models serve`, answers a picture with the mask that our own code gives."""

import base64
import io
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import yaml
from PIL import Image

from faceseg.files import sha256, write_json
from faceseg.sources.synthetic.clips import draw_clip
from faceseg.sources.synthetic.draws import VAL
from faceseg.tracking import Evaluated, Tracker
from faceseg.tracking.mirror import GRACE_S
from tests.tracking.runs import Told, free_port, new_tracker, sides, write_measured

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("tracking"),
    pytest.mark.filterwarnings("ignore"),  # of MLflow's own dependencies
]

CLASSES = ["background", "skin", "hair", "mouth", "eyes"]
COLOURS = [[0, 0, 0], [235, 180, 145], [60, 40, 20], [220, 40, 70], [40, 90, 220]]
ROOT = Path(__file__).parents[2]


def write_model(folder: Path) -> None:
    """A network with weights that nobody trained, in the form that the train stage writes."""
    import keras

    from faceseg.models.build import build_model
    from faceseg.params import ModelParams

    values = yaml.safe_load((ROOT / "params.yaml").read_text())["model"] | {"init_from": "data/no-model"}
    folder.mkdir()
    keras.utils.set_random_seed(0)  # most others see one class everywhere; these weights see three in the photograph
    build_model(ModelParams(**values), 64, len(CLASSES)).save_weights(folder / "model.weights.h5")
    about: dict[str, Any] = {
        "params": values,
        "classes": CLASSES,
        "colours": COLOURS,
        "size": 64,
        "fit": "pad",
        "mirror": [],
    }
    write_json(folder / "model.json", {**about, "weights_sha256": sha256(folder / "model.weights.h5")})


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """A repository whose database has the model as champion; its folder is ``models``."""
    root = tmp_path_factory.mktemp("registered")
    shutil.copy(empty_database, root / "mlflow.db")
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")  # of MLflow's own dependencies
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setitem(GRACE_S, "database", 600.0)
        _register(root)
    return root


def _register(root: Path) -> None:
    write_model(root / "models")
    write_measured(root, sides(0)[0])
    weights = root / "models" / "model.weights.h5"
    with new_tracker(root) as tracker:
        tracker.start("f" * 64)
        tracker.trained(sha256(weights), {})
    evaluation = Tracker(root, {}, {})
    assert evaluation.find(sha256(weights))
    files = {"evaluation/clips.csv": "metrics/clips.csv", "evaluation/confusion.csv": "metrics/plots/confusion.csv"}
    evaluation.evaluated(
        Evaluated(
            metrics={"test.miou": 0.5},
            files={shown: root / path for shown, path in files.items()},
            weights=weights,
            description=root / "models" / "model.json",
            dataset="faces",
            flip=True,
            scales=[0.8, 1.0],
        )
    )


@pytest.fixture
def address(registered: Path) -> Iterator[str]:
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    # Without our checkout on the path: the version's own copy of the code must do.
    kept.pop("PYTHONPATH", None)
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", "models:/faceseg-faces@champion"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    environment = {
        **kept,
        "MLFLOW_TRACKING_URI": f"sqlite:///{registered / 'mlflow.db'}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    with (registered / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=registered, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait(process, f"http://127.0.0.1:{port}/ping", registered / "serve.log")
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(process: "subprocess.Popen[bytes]", ping: str, log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        try:
            if requests.get(ping, timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.5)
    raise AssertionError(log.read_text())


def test_the_served_champion_answers_a_picture_with_its_mask(registered: Path, address: str) -> None:
    from faceseg.evaluation.parser import FaceParser

    _, photograph = draw_clip(seed=1, split=VAL, clip=0, frames=1)[0]
    picture = io.BytesIO()
    Image.fromarray(np.kron(np.arange(48, dtype=np.uint8).reshape(6, 8) * 5, np.ones((5, 5), np.uint8))).save(
        picture, "PNG"
    )
    contents = [photograph, picture.getvalue()]
    rows = [{"image": base64.b64encode(content).decode()} for content in contents]
    answer = requests.post(address, json={"dataframe_records": rows}, timeout=300)
    assert answer.status_code == 200, answer.text
    parser = FaceParser.open(registered / "models", flip=True, scales=[0.8, 1.0])
    for content, told in zip(contents, answer.json()["predictions"], strict=True):
        mask = Image.open(io.BytesIO(base64.b64decode(told["mask"])))
        expected = parser.labels(content)
        assert (told["height"], told["width"]) == expected.shape
        assert mask.mode == "P"
        np.testing.assert_array_equal(np.asarray(mask), expected)
        assert (told["classes"], told["colours"]) == (CLASSES, COLOURS)
        palette = mask.getpalette() or []
        assert palette[:15] == [level for colour in COLOURS for level in colour]
    assert len(np.unique(parser.labels(photograph))) > 1, "one class alone proves little: another seed in write_model?"

    for text, message in (("no base64!", "image 0 is no base64 text"), ("bm8=", "image 0: not a readable picture")):
        refused = requests.post(address, json={"dataframe_records": [{"image": text}]}, timeout=300)
        assert refused.status_code == 400
        assert message in refused.json()["message"]


def test_a_version_is_plain_files_with_a_signature_and_an_example(registered: Path) -> None:
    from mlflow.models import Model

    told = Told(f"sqlite:///{registered / 'mlflow.db'}")
    (version,) = told.versions()
    files = told.artifacts(version.run_id, "model")
    assert not [name for name in files if name.endswith(".pkl")]
    assert "model/code/faceseg/evaluation/parser.py" in files
    folder = told.client.download_artifacts(version.run_id, "model", str(registered))
    model = Model.load(folder)
    assert model.signature.inputs.input_names() == ["image"]
    assert model.signature.outputs.input_names() == ["mask", "width", "height", "classes", "colours"]
    (text,) = model.load_input_example(folder)["image"]
    assert Image.open(io.BytesIO(base64.b64decode(text))).format == "JPEG"


def test_a_version_looks_at_the_views_that_its_evaluation_looked_at(registered: Path) -> None:
    import mlflow.pyfunc

    from faceseg.evaluation.parser import FaceParser

    told = Told(f"sqlite:///{registered / 'mlflow.db'}")
    folder = told.client.download_artifacts(told.versions()[0].run_id, "model", str(registered))
    _, photograph = draw_clip(seed=1, split=VAL, clip=0, frames=1)[0]
    row = {"image": base64.b64encode(photograph).decode()}
    masks = []
    for config in ({"flip": False, "scales": [1.0]}, {"flip": True, "scales": [1.0]}, {"flip": False}, {}):
        (answer,) = mlflow.pyfunc.load_model(folder, model_config=config).predict([row])
        views = {"flip": True, "scales": [0.8, 1.0], **config}
        masks.append(np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["mask"])))))
        expected = FaceParser.open(registered / "models", **views).labels(photograph)
        np.testing.assert_array_equal(masks[-1], expected)
    assert (masks[0] != masks[1]).any()
    assert (masks[0] != masks[2]).any()
    assert (masks[2] != masks[3]).any()


def test_damaged_weights_are_not_served(registered: Path) -> None:
    import mlflow.pyfunc

    told = Told(f"sqlite:///{registered / 'mlflow.db'}")
    folder = Path(told.client.download_artifacts(told.versions()[0].run_id, "model", str(registered)))
    weights = folder / "artifacts" / "model" / "model.weights.h5"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(Exception, match=r"is not the file that .* describes"):
        mlflow.pyfunc.load_model(str(folder))
