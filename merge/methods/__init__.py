"""Merge methods: one file each, a pure function of (base, experts, options) and its options dataclass."""

from merge.methods._deltas import task_vectors
from merge.methods._registry import Effort, Method, elementwise_effort, get_method, method, method_names
from merge.methods.amm import AmmOptions, amm
from merge.methods.average import AverageOptions, average
from merge.methods.dare_linear import DareLinearOptions, dare_linear
from merge.methods.dare_ties import DareTiesOptions, dare_ties
from merge.methods.iso_c import IsoCOptions, iso_c
from merge.methods.optmerge import OptMergeOptions, optmerge
from merge.methods.swudi import SwudiOptions, swudi
from merge.methods.task_arithmetic import TaskArithmeticOptions, task_arithmetic
from merge.methods.ties import TiesOptions, ties
from merge.methods.tsv import TsvOptions, tsv
from merge.methods.wudi import WudiOptions, wudi

__all__ = [
    "AmmOptions",
    "AverageOptions",
    "DareLinearOptions",
    "DareTiesOptions",
    "Effort",
    "IsoCOptions",
    "Method",
    "OptMergeOptions",
    "SwudiOptions",
    "TaskArithmeticOptions",
    "TiesOptions",
    "TsvOptions",
    "WudiOptions",
    "amm",
    "average",
    "dare_linear",
    "dare_ties",
    "elementwise_effort",
    "get_method",
    "iso_c",
    "method",
    "method_names",
    "optmerge",
    "swudi",
    "task_arithmetic",
    "task_vectors",
    "ties",
    "tsv",
    "wudi",
]
