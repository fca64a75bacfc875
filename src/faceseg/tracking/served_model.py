"""The model that the registry keeps, as MLflow runs it: a file of code, and nothing pickled.

MLflow executes this file when the model is saved and when it is loaded; ``faceseg`` comes from the copy that travels
beside it, so a version predicts with the code that it was evaluated with. The form of what comes in and goes out is in
docs/mlflow.md.
"""

import base64
import binascii
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext


class ServedModel(PythonModel):
    """Pictures in, masks out. Each picture is decided alone, so the answer does not depend on its company."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the weights; their hash must be that of the description."""
        from faceseg.quiet import import_tensorflow

        import_tensorflow()
        from faceseg.evaluation.parser import FaceParser

        config = context.model_config
        self._parser = FaceParser.open(Path(context.artifacts["model"]), config["flip"], config["scales"])
        colours = bytes(level for colour in self._parser.colours for level in colour)
        self._palette = colours.ljust(768, b"\0")

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """One answer for each row.

        Args:
            model_input: a column ``image``: the base64 text of a JPEG, PNG, BMP, PPM or WebP file.

        Raises:
            MlflowException: INVALID_PARAMETER_VALUE, which a server answers with 400; names the row.
        """
        return [self._answer(row, text) for row, text in enumerate(model_input["image"])]

    def _answer(self, row: int, text: str) -> dict[str, Any]:
        from faceseg.images.codec import encode_mask

        try:
            labels = self._parser.labels(base64.b64decode(text, validate=True))
        except binascii.Error as error:
            raise MlflowException.invalid_parameter_value(
                f"image {row} is no base64 text ({error}); send the bytes of the picture's file in base64"
            ) from None
        except ValueError as error:  # what is no picture, or too large a one
            raise MlflowException.invalid_parameter_value(f"image {row}: {error}") from None
        return {
            "mask": base64.b64encode(encode_mask(labels, self._palette)).decode(),
            "width": labels.shape[1],
            "height": labels.shape[0],
            "classes": list(self._parser.classes),
            "colours": [list(colour) for colour in self._parser.colours],
        }


set_model(ServedModel())
