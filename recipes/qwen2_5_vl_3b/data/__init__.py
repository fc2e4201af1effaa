"""Training data of the Qwen2.5-VL-3B recipes: a converter per source, checks, a seeded sample, no benchmark items."""
