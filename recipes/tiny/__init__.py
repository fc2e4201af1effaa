"""A tiny vision-language model, three generated visual tasks, and recipes that run on a CPU."""
