"""The task of blocks.py as a cache on disk."""

from pathlib import Path

import pytest

from tests.training.blocks import write_cache


@pytest.fixture
def cache_folder(tmp_path: Path) -> Path:
    return write_cache(tmp_path / "cache")
