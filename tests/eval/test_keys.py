import json
import os
from dataclasses import replace

import pytest

from eval import EngineConfig, SamplingConfig
from eval._keys import fingerprint_model, plan_samples
from eval.sources import Item

SAMPLING, ENGINE, VLLM = SamplingConfig(), EngineConfig(), "vllm 0.24.0"


def _item(index=0, text="1+1?", image=b"png"):
    return Item(index, (("user", text),), (image,), "2")


def _keys(items, model="m", sampling=SAMPLING, engine=ENGINE, vllm=VLLM):
    return [s.key for s in plan_samples(items, model, sampling, engine, vllm)]


@pytest.mark.parametrize("field", ["temperature", "top_p", "top_k", "max_tokens", "seed"])
def test_every_sampling_setting_makes_new_keys(field):
    changed = replace(SAMPLING, **{field: getattr(SAMPLING, field) / 2 if field in ("temperature", "top_p") else 7})
    assert _keys([_item()], sampling=changed) != _keys([_item()])


def test_whatever_affects_the_answer_makes_new_keys():
    base = _keys([_item()])
    assert _keys([_item(text="1+2?")]) != base
    assert _keys([_item(image=b"other")]) != base
    assert _keys([_item()], model="n") != base
    assert _keys([_item()], engine=replace(ENGINE, dtype="float32")) != base
    assert _keys([_item()], engine=replace(ENGINE, max_model_len=64)) != base
    assert _keys([_item()], vllm="vllm 0.25.0") != base


def test_speed_settings_and_row_numbers_keep_the_keys():
    base = _keys([_item()])
    assert _keys([_item()], engine=replace(ENGINE, replicas=5, max_num_seqs=3, kv_cache_gb=2.0)) == base
    assert _keys([_item(index=9)]) == base
    a, b = _item(text="a"), _item(text="b")
    assert _keys([a, b]) == _keys([b, a])[::-1]


def test_equal_questions_and_samples_are_told_apart():
    samples = plan_samples([_item(0), _item(1)], "m", replace(SAMPLING, samples=3), ENGINE, VLLM)
    assert len({s.key for s in samples}) == len({s.seed for s in samples}) == 6
    assert [(s.item.index, s.number) for s in samples] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]


def test_more_samples_keep_the_first_ones():
    assert _keys([_item()], sampling=replace(SAMPLING, samples=3))[:1] == _keys([_item()])


def test_models_share_seeds_and_greedy_decoding_has_none():
    seeds = [plan_samples([_item()], m, SAMPLING, ENGINE, VLLM)[0].seed for m in "mn"]
    assert seeds[0] == seeds[1] and 0 <= seeds[0] < 2**31
    assert plan_samples([_item()], "m", replace(SAMPLING, temperature=0.0), ENGINE, VLLM)[0].seed is None


def test_fingerprint_follows_weights_and_templates_not_logs(tmp_path):
    model, cache = tmp_path / "model", tmp_path / "cache.json"
    model.mkdir()
    (model / "model.safetensors").write_bytes(b"weights")
    first = fingerprint_model(model, cache)
    (model / "training.log").write_text("irrelevant")
    assert fingerprint_model(model, cache) == first
    (model / "chat_template.jinja").write_text("{{ x }}")
    second = fingerprint_model(model, cache)
    assert second != first
    (model / "model.safetensors").write_bytes(b"WEIGHTS")
    assert fingerprint_model(model, cache) not in (first, second)


def test_fingerprint_is_not_taken_from_a_stale_or_broken_cache(tmp_path):
    model, cache = tmp_path / "model", tmp_path / "cache.json"
    model.mkdir()
    weights = model / "model.safetensors"
    weights.write_bytes(b"a")
    first = fingerprint_model(model, cache)
    weights.write_bytes(b"b")
    os.utime(weights, ns=(1, 1))
    assert fingerprint_model(model, cache) != first
    cache.write_text("{torn")
    weights.write_bytes(b"a")
    assert fingerprint_model(model, cache) == first


def test_fingerprint_is_the_same_for_weights_merged_anew(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.safetensors").write_bytes(b"weights")
    (model / "config.json").write_text("{}")
    first = fingerprint_model(model, tmp_path / "cache.json")
    # Of these two files; it names stored answers, so it must never become another.
    assert first == "9ec0cdbf409d290232d4880f3811897c2575ea24bc891a672ba9b1e4b6e9d9f5"
    (model / "manifest.json").write_text('{"summary": {"seconds": 3.1}}')
    (model / "trainer_state.json").write_text("{}")
    assert fingerprint_model(model, tmp_path / "other.json") == first


def test_fingerprint_of_answers_that_are_stored_stays_whatever_files_it_was_made_of(tmp_path):
    model, cache = tmp_path / "model", tmp_path / "cache.json"
    model.mkdir()
    for name in ("config.json", "manifest.json", "model.safetensors"):
        (model / name).write_text("{}")
    stamp = [[p.name, p.stat().st_size, p.stat().st_mtime_ns] for p in sorted(model.iterdir())]
    cache.write_text(json.dumps({"directory": str(model.resolve()), "files": stamp, "fingerprint": "stored"}))
    assert fingerprint_model(model, cache) == "stored"
    (model / "config.json").write_text('{"changed": 1}')
    assert fingerprint_model(model, cache) != "stored"
