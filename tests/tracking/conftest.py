"""A repository whose MLflow database is there already: making its tables takes seconds, and one of each is enough."""

import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from faceseg.tracking.mirror import GRACE_S
from faceseg.tracking.store import Store
from tests.tracking.runs import Server, Told


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh database with MLflow's tables."""
    root = tmp_path_factory.mktemp("database")
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        Store(root).open()
    return root / "mlflow.db"


@pytest.fixture
def root(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository with an MLflow database of its own."""
    for name in [name for name in os.environ if name.startswith(("MLFLOW_TRACKING", "MLFLOW_EXP", "DVC_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setitem(GRACE_S, "database", 600.0)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow's own dependencies
        yield tmp_path


@pytest.fixture
def told(root: Path) -> Told:
    """What the repository's database says."""
    return Told(f"sqlite:///{root / 'mlflow.db'}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for a module; a test that kills it starts it again."""
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    try:
        yield server
    finally:
        server.kill()
