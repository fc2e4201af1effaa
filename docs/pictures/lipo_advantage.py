"""Draw LIPO's advantage against length: where it is not monotone, and what the forms of its weight change.

python docs/pictures/lipo_advantage.py [FILE.svg]
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import torch
from matplotlib.figure import Figure

from lipo.estimators.lipo import LipoConfig, lipo

LENGTHS = torch.arange(50, 1001, 10)
LIMIT = 1024
# The curves lie on each other in part: the first is drawn wide.
FORMS = {
    "default": ({}, "#56B4E9", 3.5),
    "weight_wrong=true": ({"weight_wrong": True}, "#CC79A7", 1.5),
    "weight_advantage=positive": ({"weight_advantage": "positive"}, "#D55E00", 1.5),
    "weight_advantage=false": ({"weight_advantage": False}, "#009E73", 1.5),
}


def draw(file: Path) -> None:
    """Two groups of 96 responses: all correct, and every second one wrong."""
    groups = torch.zeros(len(LENGTHS), dtype=torch.int64)
    mixed = (torch.arange(len(LENGTHS)) % 2).float()
    figure = Figure(figsize=(9.2, 3.4), layout="constrained")
    right, both = figure.subplots(1, 2, sharey=True)
    for label, (form, colour, width) in FORMS.items():
        config = LipoConfig(max_length=LIMIT, **form)
        advantages = lipo(torch.ones(len(LENGTHS)), LENGTHS, groups, config).advantages
        right.plot(LENGTHS, advantages, color=colour, lw=width, label=label)
        advantages = lipo(mixed, LENGTHS, groups, config).advantages
        both.plot(LENGTHS[mixed == 1], advantages[mixed == 1], color=colour, lw=width)
        both.plot(LENGTHS[mixed == 0], advantages[mixed == 0], color=colour, lw=width, linestyle="--")
    optimum = float(max(2 * LENGTHS.min(), LENGTHS.float().median()))
    for axis, title in ((right, "all correct"), (both, "half correct (solid), half wrong (dashed)")):
        axis.axhline(0, color="#999999", lw=0.8)
        axis.axvline(optimum, color="#999999", lw=0.8, ls=":")
        axis.set(title=title, xlabel="response length in tokens")
        axis.spines[["top", "right"]].set_visible(False)
    right.set_ylabel("advantage")
    right.legend(frameon=False)
    with matplotlib.rc_context({"svg.hashsalt": "lipo", "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_suffix(".svg"))
