"""The public sources, one file each, in their own formats."""

from recipes.qwen2_5_vl_3b.data.sources import (
    chartgalaxy,
    geometry3k,
    mathvision,
    mmk12,
    ocr,
    plotqa,
    tabfact,
    tat_dqa,
    tqa,
    wtq,
)

SOURCES = {
    module.SOURCE.name: module.SOURCE
    for module in (mmk12, geometry3k, mathvision, tat_dqa, wtq, tabfact, plotqa, tqa, chartgalaxy, ocr)
}
"""By name."""

__all__ = ["SOURCES"]
