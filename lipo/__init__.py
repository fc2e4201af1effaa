"""LIPO: length-aware reinforcement learning on verl, model merging and evaluation."""

__version__ = "0.1.0"
