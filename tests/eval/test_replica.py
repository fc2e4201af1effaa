"""What reaches vLLM: prompts with their markers, frames, and when these are shown."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from eval import EngineConfig, SamplingConfig
from eval._replica import LoadOptions, Replica, Request, VideoSize, _engine_arguments, decode_image, read_video
from recipes.tiny.clips import make_clip, write_clip

BASE = Path(__file__).parents[2] / "recipes" / "tiny" / "base"


def _frame(grey, size=(112, 56)):
    buffer = io.BytesIO()
    Image.new("RGB", size, (grey,) * 3).save(buffer, "PNG")
    return buffer.getvalue()


def _request(text, frames=(), images=(), fps=2.0):
    return Request("k", 0, 0, (("user", text),), images, None, frames, fps)


def test_frames_and_their_times():
    array, times = read_video(_request("<video>?", [_frame(g) for g in (0, 100, 200)], fps=0.5))
    assert array.shape == (3, 56, 112, 3) and array[:, 0, 0, 0].tolist() == [0, 100, 200]
    assert times == {"fps": 0.5, "total_num_frames": 3, "frames_indices": [0, 1, 2], "duration": 6.0}
    with pytest.raises(ValueError, match="same shape"):
        read_video(_request("<video>?", [_frame(0), _frame(0, (56, 56))]))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "RGB"])
def test_what_is_transparent_is_white(mode):
    image, buffer = Image.new("LA", (2, 1)), io.BytesIO()
    image.putpixel((1, 0), (0, 255))
    if mode in ("RGBA", "LA"):
        image.convert(mode).save(buffer, "PNG")
    else:
        # One colour, or one place of the palette, stands for nothing.
        plain = Image.frombytes("L", (2, 1), bytes([9, 0])).convert(mode)
        plain.save(buffer, "PNG", transparency=(9, 9, 9) if mode == "RGB" else 9)
    assert decode_image(buffer.getvalue()).tobytes() == bytes([255] * 3 + [0] * 3)


def test_an_opaque_picture_with_alpha_keeps_its_colours():
    image = Image.effect_noise((8, 8), 99).convert("RGBA")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    assert decode_image(buffer.getvalue()).tobytes() == image.convert("RGB").tobytes()


class Recording(Replica):
    """Keeps what is asked of the engine, whose start takes ten seconds."""

    def __init__(self):
        super().__init__()
        from transformers import AutoProcessor

        self.asked = []
        self._engine = self
        self._processor = AutoProcessor.from_pretrained(BASE)
        self._options = LoadOptions(str(BASE), SamplingConfig(), EngineConfig(), True, 1)

    def add_request(self, key, prompt, sampling):
        self.asked.append(prompt)


def test_markers_stand_where_the_text_has_them():
    replica = Recording()
    frames = [_frame(0)] * 2
    for request in (
        _request("<video>Which <image>?", frames),
        _request("a <video> b <image> c", frames, [_frame(9)]),
        _request("no <video> and no <image>"),
    ):
        assert replica._add(request) is None
    picture, film = ("<|vision_start|><|" + kind + "_pad|><|vision_end|>" for kind in ("image", "video"))
    texts = [prompt["prompt"].split("user\n")[1].split("<|im_end|>")[0] for prompt in replica.asked]
    assert texts == [f"{film}Which <image>?", f"a {film} b {picture} c", "no <video> and no <image>"]
    assert [sorted(prompt.get("multi_modal_data", {})) for prompt in replica.asked] == [
        ["video"],
        ["image", "video"],
        [],
    ]


def test_a_frame_that_is_none_is_this_rows_error():
    answer = Recording()._add(_request("<video>?", [_frame(0), b"no picture"]))
    assert answer.finish == "error" and "cannot identify image" in answer.error


def test_memory_is_set_aside_for_the_largest_video_only():
    options = LoadOptions(str(BASE), SamplingConfig(), EngineConfig(), True, 1, VideoSize(8, 112, 56))
    limit = _engine_arguments(options)["limit_mm_per_prompt"]
    assert limit == {"image": 1, "video": {"count": 1, "num_frames": 8, "width": 112, "height": 56}}


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("plugins", ["lipo", "none"])
def test_vllm_places_frames_by_their_times(tmp_path, plugins):
    """Log-probabilities of a prompt's text, against transformers with the positions of Qwen2.5-VL's paper.

    Its section 2.1.2: positions in time follow absolute time, and text goes on behind the largest position. With our
    plug-in, which training needs, vLLM keeps the times by itself; evaluation must work with it and without.
    """
    for i in range(3):
        write_clip(make_clip("order", "test", i), tmp_path / f"{i}.mp4")
    environment = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "TORCHDYNAMO_DISABLE": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_PLUGINS": plugins,
    }
    script = Path(__file__).parent / "data" / "positions.py"
    done = subprocess.run(
        [sys.executable, script, BASE, tmp_path], capture_output=True, text=True, env=os.environ | environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert len(found["with times"]) == 3 and max(found["with times"]) < 1e-3
    if plugins == "none":
        assert min(found["without"]) > 0.1, "the comparison would notice"
    else:
        assert max(found["without"]) < 1e-3
