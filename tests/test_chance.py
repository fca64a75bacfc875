"""A network that a test builds without a seed begins with the same weights in each run."""

import random

import keras
import numpy as np
import pytest


def _weights() -> np.ndarray:
    return np.asarray(keras.initializers.GlorotUniform()((2, 3)))


@pytest.fixture(scope="module")
def of_the_module() -> np.ndarray:
    return _weights()


@pytest.fixture
def of_the_test(of_the_module: np.ndarray) -> np.ndarray:
    return _weights()


@pytest.mark.parametrize("run", range(2))
def test_weights_are_the_same_in_each_fixture_and_test(
    run: int, of_the_module: np.ndarray, of_the_test: np.ndarray
) -> None:
    first = _weights()
    np.testing.assert_array_equal(of_the_module, first)
    np.testing.assert_array_equal(of_the_test, first)
    assert (_weights() != first).any()  # two layers of one network differ


def test_it_is_no_matter_which_process_runs_a_test() -> None:
    before = random.getstate()
    random.seed(0)
    assert random.getstate() == before
