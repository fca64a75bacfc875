"""What every test stands on: chance that is the same in each run, in any order and beside any other test."""

import random

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup() -> None:
    _seed()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call() -> None:
    _seed()


def _seed() -> None:
    """Keras draws the seeds of unseeded layers from Python's generator: this fixes every network's first weights."""
    random.seed(0)
