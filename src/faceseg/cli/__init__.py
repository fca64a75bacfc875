"""The ``faceseg`` command: what DVC and MLflow lack. A module a subject; what is heavy is imported where it is used."""

from faceseg.cli import data, experiments, models, pipeline, recipes, verify
from faceseg.cli.app import app

__all__ = ["app", "data", "experiments", "models", "pipeline", "recipes", "verify"]
