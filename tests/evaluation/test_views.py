"""Views: each is what it says, brought back to where it came from, and the mean is over the views that show a pixel."""

import keras
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from faceseg.evaluation.views import Views, seen, with_views, zoom_matrix
from tests.evaluation.staged import SIZE, Staged


def test_the_picture_alone_is_the_network_itself(network: keras.Model) -> None:
    assert with_views(network, [], Views()) is network


def test_the_mirror_image_is_turned_back_and_its_partners_change_places() -> None:
    """By hand: a network that sees left and right differently, so that nothing cancels.

    The picture's row is [1, 2]; the network's logits are the pixel times W, with W = [10, 20, 30] in the left pixel and
    [1, 2, 3] in the right. Plain: [10, 20, 30], [2, 4, 6]. Mirrored [2, 1]: [20, 40, 60], [1, 2, 3]; turned back and
    with classes 1 and 2 swapped: [1, 3, 2], [20, 60, 40]. The means: [5.5, 11.5, 16], [11, 32, 23].
    """
    images = keras.Input((1, 2, 3))
    weights = np.array([[[10, 20, 30], [1, 2, 3]]], np.float32)
    network = keras.Model(images, images * weights)
    picture = np.array([[[[1, 1, 1], [2, 2, 2]]]], np.float32)
    logits = with_views(network, [(1, 2)], Views(flip=True))(picture)
    assert np.asarray(logits)[0, 0].tolist() == [[5.5, 11.5, 16], [11, 32, 23]]
    # Without partners classes stay: [1, 2, 3] and [20, 40, 60] instead.
    logits = with_views(network, [], Views(flip=True))(picture)
    assert np.asarray(logits)[0, 0].tolist() == [[5.5, 11, 16.5], [11, 22, 33]]


def test_a_mirror_image_changes_nothing_for_a_network_that_sees_colours_alone(
    stretched: Staged, network: keras.Model
) -> None:
    images = stretched.cache().split("test").images_at(np.arange(3)).astype(np.float32)
    twice = with_views(network, [], Views(flip=True))(images)
    np.testing.assert_allclose(twice, network(images), rtol=1e-6)


def test_an_axis_is_enlarged_about_its_centre_and_reflected_past_its_ends() -> None:
    """By hand, four pixels with their centre at 1.5.

    Twice as large, they look at 1.5 + (i - 1.5) / 2 = 0.75, 1.25, 1.75, 2.25. Half as large, at -1.5, 0.5, 2.5, 4.5,
    where -1.5 lies between the mirrored pixels 1 and 0, and 4.5 between 3 and 2.
    """
    axis = np.array([10.0, 20, 40, 80])
    np.testing.assert_allclose(zoom_matrix(4, 2.0) @ axis, [17.5, 25, 35, 50])
    np.testing.assert_allclose(zoom_matrix(4, 0.5) @ axis, [15, 15, 60, 60])
    assert seen(4, 2.0).tolist() == [0, 1, 1, 0]
    assert seen(4, 0.5).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("factor", [0.3, 0.8, 0.97, 1.0, 1.1, 2.7])
def test_an_axis_is_resampled_as_scipy_does(factor: float) -> None:
    axis = np.random.default_rng(0).normal(size=17)
    position = 8 + (np.arange(17) - 8) / factor
    expected = map_coordinates(axis, [position], order=1, mode="reflect")
    np.testing.assert_allclose(zoom_matrix(17, factor) @ axis, expected, atol=1e-12)


@pytest.mark.parametrize("scales", [(), (1.5,), (0.0, 1.0)])
def test_scales_that_leave_pixels_unseen(scales: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"scales are \[.*\]: expected some above 0, one at least not above 1"):
        Views(scales=scales)


def blurring(seed: int) -> keras.Model:
    """A network that sees neighbours, more of them on one side than on the other."""
    images = keras.Input((SIZE, SIZE, 3))
    layer = keras.layers.Conv2D(3, (3, 5), padding="same")
    model = keras.Model(images, layer(images))
    draws = np.random.default_rng(seed)
    layer.set_weights([draws.normal(size=weight.shape).astype(np.float32) for weight in layer.get_weights()])
    return model


@pytest.mark.parametrize("flip", [False, True])
def test_the_mean_is_over_the_views_that_show_a_pixel(flip: bool) -> None:
    """The same in NumPy and SciPy, view after view."""
    network, scales, mirror = blurring(1), (0.75, 1.0, 1.25), [(0, 2)]
    images = np.random.default_rng(2).uniform(0, 255, (2, SIZE, SIZE, 3)).astype(np.float32)
    total, count = np.zeros_like(images), np.zeros((SIZE, SIZE, 1))
    y, x = np.mgrid[:SIZE, :SIZE].astype(float)
    centre = (SIZE - 1) / 2

    def enlarged(pictures: np.ndarray, factor: float, fill: str) -> np.ndarray:
        where = [centre + (y - centre) / factor, centre + (x - centre) / factor]
        channels = [
            [map_coordinates(one[..., channel], where, order=1, mode=fill, cval=np.nan) for channel in range(3)]
            for one in pictures
        ]
        return np.moveaxis(np.array(channels), 1, -1)

    for scale in scales:
        for mirrored in (False, True) if flip else (False,):
            view = enlarged(images, scale, "reflect")
            logits = np.asarray(network(view[:, :, ::-1] if mirrored else view))
            if mirrored:
                logits = logits[:, :, ::-1, [2, 1, 0]]
            back = enlarged(logits, 1 / scale, "constant")
            shown = np.isfinite(back[0, :, :, :1])
            total += np.nan_to_num(back)
            count += shown
    assert count.min() < count.max()
    logits = with_views(network, mirror, Views(flip, scales))(images)
    np.testing.assert_allclose(logits, total / count, rtol=1e-3, atol=1e-2)


def test_pictures_in_one_batch_do_not_see_each_other() -> None:
    network = with_views(blurring(3), [], Views(True, (0.8, 1.0, 1.2)))
    images = np.random.default_rng(4).uniform(0, 255, (3, SIZE, SIZE, 3)).astype(np.float32)
    together = np.asarray(network(images))
    alone = np.concatenate([np.asarray(network(images[row : row + 1])) for row in range(3)])
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-3)
