import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipo.common import LipoError, parse
from lipo.video import FrameOptions, choose_frames, frame_size

TENTHS = [i / 10 for i in range(40)]


def test_uniform_is_first_to_last_as_published():
    # ⌊i · 39 / 15⌋
    assert choose_frames(TENTHS, FrameOptions()) == [0, 2, 5, 7, 10, 13, 15, 18, 20, 23, 26, 28, 31, 33, 36, 39]
    assert choose_frames(TENTHS, FrameOptions(frames=1)) == [0]
    assert choose_frames(TENTHS[:3], FrameOptions(frames=16)) == [0, 1, 2]
    assert choose_frames([], FrameOptions()) == []


def test_fps_takes_what_is_on_the_screen():
    assert choose_frames(TENTHS, FrameOptions(sampling="fps", fps=2)) == [0, 5, 10, 15, 20, 25, 30, 35]
    # A still that is shown for 3 seconds is taken once.
    assert choose_frames([0.0, 3.0, 3.5], FrameOptions(sampling="fps", fps=1)) == [0, 1]
    assert choose_frames([0.0], FrameOptions(sampling="fps")) == [0]


def test_fps_is_spread_over_the_clip_where_it_exceeds_the_budget():
    long = [i / 10 for i in range(1000)]
    chosen = choose_frames(long, FrameOptions(sampling="fps", fps=2, frames=8))
    assert chosen == choose_frames(long, FrameOptions(frames=8)) and chosen[-1] == 999


@given(
    st.lists(st.floats(0, 100), max_size=200).map(sorted),
    st.integers(1, 64),
    st.sampled_from(["uniform", "fps"]),
    st.floats(0.1, 30),
)
def test_any_times_give_distinct_frames_within_the_budget(times, frames, sampling, fps):
    chosen = choose_frames(times, FrameOptions(sampling=sampling, frames=frames, fps=fps))
    assert chosen == sorted(set(chosen)) and len(chosen) <= frames
    assert all(0 <= i < len(times) for i in chosen)
    assert bool(chosen) == bool(times)


@pytest.mark.parametrize(
    ("size", "frames", "expected"),
    [((1920, 1080), 1, (588, 336)), ((1080, 1920), 1, (336, 588)), ((56, 56), 16, (56, 56)), ((10, 10), 1, (28, 28))],
)
def test_frames_fit_and_keep_their_proportions(size, frames, expected):
    assert frame_size(*size, frames, FrameOptions()) == expected


@given(
    st.integers(1, 8000), st.integers(1, 8000), st.integers(1, 512), st.integers(784, 10**6), st.integers(784, 10**7)
)
def test_budgets_hold(width, height, frames, most, together):
    wide, high = frame_size(width, height, frames, FrameOptions(max_pixels=most, total_pixels=together))
    assert wide % 28 == high % 28 == 0 and min(wide, high) >= 28
    if max(wide, high) > 28:
        assert wide * high <= most
        assert frames * wide * high <= together


def test_options_are_checked():
    with pytest.raises(LipoError, match="sampling"):
        parse(FrameOptions, {"sampling": "random"}, "frames")
    with pytest.raises(LipoError, match="did you mean 'frames'"):
        parse(FrameOptions, {"frame": 3}, "frames")
