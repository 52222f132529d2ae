"""The look of clips: each change against plain NumPy, alike over a clip, and nothing unless asked for."""

import colorsys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elo_cli.core.train_settings import AugmentSettings
from elo_cli.data.augment import Look, change_look, draw_look

FRAMES = torch.rand(3, 3, 12, 10, generator=torch.Generator().manual_seed(0))
LUMA = np.array([0.2989, 0.587, 0.114])  # torchvision's digits
MODERN = AugmentSettings(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, grey=0.2, blur=0.5)


def changed(**look: object) -> np.ndarray:
    return change_look(FRAMES, Look(**look)).numpy()  # type: ignore[arg-type]


def test_nothing_is_changed_unless_asked_for() -> None:
    assert draw_look(np.random.default_rng(0), AugmentSettings())._replace(order=()) == Look(order=())
    assert change_look(FRAMES, Look()) is FRAMES


def test_brightness_contrast_and_saturation_are_blends() -> None:
    frames = FRAMES.numpy().astype(np.float64)
    luma = np.einsum("tchw,c->thw", frames, LUMA)[:, None]
    np.testing.assert_allclose(changed(brightness=1.3), np.clip(frames * 1.3, 0, 1), atol=1e-5)
    np.testing.assert_allclose(changed(contrast=0.6), frames * 0.6 + luma.mean() * 0.4, atol=1e-5)  # the mean of the clip
    np.testing.assert_allclose(changed(saturation=0.5), frames * 0.5 + luma * 0.5, atol=1e-5)
    np.testing.assert_allclose(changed(grey=True), np.repeat(luma, 3, 1), atol=1e-5)


def test_hue_turns_the_wheel() -> None:
    got = changed(hue=0.2)
    for place in ((0, 0, 0), (1, 5, 7), (2, 11, 9)):
        t, y, x = place
        hue, saturation, value = colorsys.rgb_to_hsv(*(float(part) for part in FRAMES[t, :, y, x]))
        np.testing.assert_allclose(got[t, :, y, x], colorsys.hsv_to_rgb((hue + 0.2) % 1, saturation, value), atol=1e-4)


def test_the_order_counts() -> None:
    first, second = (
        changed(brightness=1.8, contrast=0.5, order=order) for order in (("brightness", "contrast"), ("contrast", "brightness"))
    )
    assert np.abs(first - second).max() > 0.01


def test_blur_spreads_a_point_as_far_as_the_size_says() -> None:
    for size in (56, 112):
        point = torch.zeros(2, 3, size, size)
        point[:, :, size // 2, size // 2] = 1
        spread = change_look(point, Look(sigma=8.0))[0, 0].double()
        places = torch.arange(size) - size // 2
        assert float(spread.sum()) == pytest.approx(1, abs=1e-4)
        assert float((spread.sum(0) * places**2).sum()) == pytest.approx((8.0 * size / 224) ** 2, rel=0.05)


@settings(max_examples=30)
@given(st.integers(0, 1000))
def test_all_frames_of_a_clip_are_changed_alike(seed: int) -> None:
    look = draw_look(np.random.default_rng(seed), MODERN)
    still = FRAMES[:1].repeat(4, 1, 1, 1)
    got = change_look(still, look)
    assert torch.allclose(got, got[:1].expand_as(got), atol=1e-6)
    assert float(got.min()) >= 0 and float(got.max()) <= 1


def test_looks_are_drawn_as_the_settings_say() -> None:
    looks = [draw_look(np.random.default_rng(seed), MODERN) for seed in range(2000)]
    jittered = [look for look in looks if look.brightness != 1]
    assert len(jittered) / 2000 == pytest.approx(0.8, abs=0.03)
    for name in ("brightness", "contrast", "saturation"):
        values = [getattr(look, name) for look in jittered]
        assert 0.6 <= min(values) < 0.62 and 1.38 < max(values) <= 1.4
    assert all(look.hue == 0 and look.contrast == 1 for look in looks if look.brightness == 1)
    assert max(abs(look.hue) for look in looks) <= 0.1
    assert np.mean([look.grey for look in looks]) == pytest.approx(0.2, abs=0.03)
    assert np.mean([look.sigma > 0 for look in looks]) == pytest.approx(0.5, abs=0.04)
    assert max(look.sigma for look in looks) <= 2
    assert len({look.order for look in looks}) == 24


def test_one_setting_does_not_change_the_draw_of_another() -> None:
    plain, more = (
        draw_look(np.random.default_rng(5), AugmentSettings(brightness=0.4, jitter=1, **other))
        for other in ({}, {"blur": 1.0, "grey": 1.0})
    )  # type: ignore[arg-type]
    assert plain.brightness == more.brightness != 1 and plain.sigma == 0 < more.sigma


def test_a_grey_clip_can_be_written_to() -> None:
    changed = change_look(torch.rand(2, 3, 8, 8), Look(grey=True))
    changed.sub_(1)
    assert torch.equal(changed[:, 0], changed[:, 1])
