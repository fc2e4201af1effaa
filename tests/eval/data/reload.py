"""Loads a model, then another, into one replica; prints what became of engine, tensors and answers as JSON."""

import io
import json
import sys

import torch
from PIL import Image

from eval import EngineConfig, SamplingConfig
from eval._replica import LoadOptions, Replica, Request

base, other = sys.argv[1:]
replica = Replica()
# The weights of one model at a time, as vLLM holds them.
engines, restarted, answers, tensors = [], {}, {}, {}


def picture(shade):
    buffer = io.BytesIO()
    Image.new("RGB", (112, 56), (shade, 255 - shade, shade)).save(buffer, "PNG")
    return buffer.getvalue()


def visit(name, model, reload, samples=2):
    """Load, answer, and note whether the engine is the one before."""
    sampling = SamplingConfig(temperature=0, max_tokens=24, samples=samples)
    engine = EngineConfig(dtype="float32", max_model_len=256, reload_weights=reload)
    replica.load(LoadOptions(model, sampling, engine, True, 1))
    engines.append(replica._engine)
    restarted[name] = len(engines) > 1 and engines[-1] is not engines[-2]
    requests = [
        Request(f"{name} {i}", i, 0, (("user", "<image>What do you see?"),), [picture(40 * i)], None) for i in range(6)
    ]
    found = replica.advance(requests, False)
    while replica._engine.has_unfinished_requests():
        found += replica.advance([], False)
    answers[name] = [answer.response for answer in sorted(found, key=lambda answer: answer.item)]
    runner = replica._engine.engine_core.engine_core.model_executor.driver_worker.worker.model_runner
    tensors[name] = {key: value.detach().clone() for key, value in runner.model.state_dict().items()}


visit("base", base, reload=True)
visit("reload", other, reload=True)
visit("back", base, reload=True)
visit("not asked for", other, reload=False)
visit("other sampling", base, reload=True, samples=1)

differ = [
    f"{one}: {key}"
    for one, another in (("reload", "not asked for"), ("back", "base"))
    for key in tensors[one] | tensors[another]
    if not torch.equal(tensors[one][key], tensors[another][key])
]
del restarted["base"]
print(
    json.dumps(
        {"restarted": restarted, "answers": answers, "tensors that differ": differ, "tensors": len(tensors["base"])}
    )
)
