"""Compares vLLM with transformers on prompts with videos; prints the largest differences as JSON.

python positions.py MODEL FOLDER_OF_VIDEOS
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration
from vllm.sampling_params import RequestOutputKind, SamplingParams

from eval import EngineConfig, SamplingConfig
from eval._replica import LoadOptions, Replica, Request, VideoSize, read_video
from eval.sources import ClipReader
from eval.sources._clips import VideoFile
from lipo.video import FrameOptions

MODEL, FOLDER = sys.argv[1], Path(sys.argv[2])


class Scoring(Replica):
    """Asks for the log-probabilities of the prompt."""

    def _sampling(self, seed):
        return SamplingParams(temperature=0, max_tokens=1, prompt_logprobs=0, output_kind=RequestOutputKind.FINAL_ONLY)

    def score(self, requests, with_times):
        """Tokens of each prompt and their log-probabilities."""
        self._drops_times = with_times
        for request in requests:
            assert self._add(request) is None
        found = []
        while self._engine.has_unfinished_requests():
            for output in self._engine.step():
                if output.finished:
                    tokens = output.prompt_token_ids
                    pairs = zip(output.prompt_logprobs, tokens, strict=True)
                    found.append((output.prompt, tokens, [p and p[token].logprob for p, token in pairs]))
        return [next(f for f in found if f[0] == self._render(request)) for request in requests]


def positions(tokens, video_token, grid, seconds, tokens_per_second):
    """Positions (3, 1, L) in time, height and width."""
    at = (tokens == video_token).nonzero()[:, 0]
    first, behind = int(at[0]), int(at[-1]) + 1
    t, h, w = grid[0], grid[1] // 2, grid[2] // 2
    time = (torch.arange(t).double() * seconds * tokens_per_second).long()
    video = torch.stack(torch.broadcast_tensors(time[:, None, None], torch.arange(h)[:, None], torch.arange(w)))
    video = video.reshape(3, -1) + first
    text = torch.arange(len(tokens) - behind).expand(3, -1) + int(video.max()) + 1
    return torch.cat([torch.arange(first).expand(3, -1), video, text], 1)[:, None]


def main():
    reader = ClipReader(FOLDER / "frames", FrameOptions(frames=8, max_pixels=112 * 56, encoding="png"))
    clips = list(reader.read(VideoFile(path) for path in sorted(FOLDER.glob("*.mp4"))).values())
    asked = [(("user", f"<video>what comes first? number {i}"),) for i in range(len(clips))]
    replica = Scoring()
    engine = EngineConfig(dtype="float32", kv_cache_gb=0.1, max_num_seqs=4)
    replica.load(LoadOptions(MODEL, SamplingConfig(), engine, True, 1, VideoSize(8, 112, 56)))
    results = {}
    for name in ("with times", "without"):
        requests = [
            Request(f"{name} {i}", i, 0, text, (), None, clip.frames, clip.fps)
            for i, (text, clip) in enumerate(zip(asked, clips, strict=True))
        ]
        results[name] = replica.score(requests, name == "with times")
    processor = AutoProcessor.from_pretrained(MODEL)
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(MODEL, dtype=torch.float32).eval()
    differences = {name: [] for name in results}
    for i, request in enumerate(requests):
        frames, times = read_video(request)
        inputs = processor(
            text=[replica._render(request)], videos=[frames], video_metadata=[times], return_tensors="pt"
        )
        tokens, video_token = inputs["input_ids"][0], model.config.video_token_id
        placed = positions(
            tokens,
            video_token,
            inputs["video_grid_thw"][0].tolist(),
            float(inputs["second_per_grid_ts"][0]),
            model.config.vision_config.tokens_per_second,
        )
        with torch.no_grad():
            scores = model(**inputs, position_ids=placed).logits[0].log_softmax(-1)
        for name, scored in results.items():
            assert tokens.tolist() == list(scored[i][1])
            text = [at for at in range(1, len(tokens)) if tokens[at] != video_token]
            differences[name].append(max(abs(scored[i][2][at] - float(scores[at - 1, tokens[at]])) for at in text))
    print(json.dumps(differences), flush=True)


main()
