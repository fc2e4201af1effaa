"""Write the tiny experiments' data as verl parquet files, from seeds.

    python -m recipes.tiny.make_data --out runs/demo/data

Training, validation and test items are disjoint in content (see ``recipes.tiny.tasks.make_sample``). Files that are
already there are kept.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import pandas as pd

from lipo.common import atomic_write
from recipes.tiny.tasks import TASKS, make_sample

SIZES = {"train": 2048, "validation": 256, "test": 400}


def make_frame(task: str, split: str, size: int) -> pd.DataFrame:
    """Generate ``size`` items of a task as rows in verl's format; the seed of a row is its index."""
    rows = []
    for index in range(size):
        sample = make_sample(task, split, index)
        png = io.BytesIO()
        sample.image.save(png, "PNG")
        rows.append(
            {
                "data_source": f"tiny/{task}",
                "prompt": [{"role": "user", "content": f"<image>{sample.question}"}],
                "images": [{"bytes": png.getvalue()}],
                "ability": task,
                "reward_model": {"style": "rule", "ground_truth": sample.answer},
                "extra_info": {"split": split, "index": index, "question": sample.question, "answer": sample.answer},
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    """Parse the command line and write what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="directory of the parquet files")
    for split, size in SIZES.items():
        parser.add_argument(f"--{split}", type=int, default=size, help=f"number of {split} items per task")
    options = parser.parse_args()
    for task in TASKS:
        for split in SIZES:
            path = options.out / f"{task}_{split}.parquet"
            if not path.exists():
                frame = make_frame(task, split, getattr(options, split))
                with atomic_write(path, "wb") as file:
                    frame.to_parquet(file)
            print(path, flush=True)


if __name__ == "__main__":
    main()
