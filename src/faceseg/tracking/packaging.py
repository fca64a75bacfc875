"""A trained model as an MLflow model: our two files, our code, a signature, an example and the packages it needs."""

import base64
import shutil
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from faceseg.tracking.store import importing

PACKAGE = Path(__file__).parents[1]
# Which a picture meets on its way to a mask; faceseg itself travels as code.
_REQUIRED = (
    "joblib",
    "keras",
    "mlflow",
    "numpy",
    "pandas",
    "pillow",
    "pydantic",
    "pyyaml",
    "rich",
    "scipy",
    "segmentation-models",
    "tensorflow",
)


def save_model(path: Path, weights: Path, description: Path, flip: bool, scales: Sequence[float]) -> None:
    """Write the folder of an MLflow model to ``path``, which must not exist; TensorFlow is not needed for it.

    ``flip`` and ``scales``: it predicts from the views that it was evaluated with.
    """
    with importing:
        import mlflow.pyfunc
        from mlflow.models import ModelSignature
    with tempfile.TemporaryDirectory(prefix="faceseg-") as temporary:
        model, code = Path(temporary) / "model", Path(temporary) / "faceseg"
        model.mkdir()
        # The names that they have in a model's folder, whatever they are called here.
        shutil.copyfile(weights, model / "model.weights.h5")
        shutil.copyfile(description, model / "model.json")
        shutil.copytree(PACKAGE, code, ignore=shutil.ignore_patterns("__pycache__"))
        mlflow.pyfunc.save_model(
            str(path),
            python_model=str(PACKAGE / "tracking" / "served_model.py"),
            artifacts={"model": str(model)},
            code_paths=[str(code)],
            signature=ModelSignature(*_schemas()),
            input_example=_example(),
            pip_requirements=[f"{name}=={version(name)}" for name in _REQUIRED],
            model_config={"flip": flip, "scales": list(scales)},
        )


def _schemas() -> tuple[Any, Any]:
    """What goes in and what comes out, as docs/mlflow.md has it in words."""
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array

    whole, text = DataType.long, DataType.string
    answer: list[Any] = [
        ColSpec(text, "mask"),
        ColSpec(whole, "width"),
        ColSpec(whole, "height"),
        ColSpec(Array(text), "classes"),
        ColSpec(Array(Array(whole)), "colours"),
    ]
    return Schema([ColSpec(text, "image")]), Schema(answer)


def _example() -> Any:
    """A generated face: a real one would be handed on with the model to whoever may read the registry."""
    import pandas as pd

    from faceseg.sources.synthetic.clips import draw_clip
    from faceseg.sources.synthetic.draws import TRAIN

    _, image = draw_clip(seed=1, split=TRAIN, clip=0, frames=1)[0]
    return pd.DataFrame({"image": [base64.b64encode(image).decode()]})
