"""Qwen2.5-VL-3B: three experts and their merge, as in the paper, on one to sixteen GPUs."""
