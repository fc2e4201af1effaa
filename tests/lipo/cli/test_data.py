import base64
import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[3]


def _png():
    buffer = io.BytesIO()
    Image.effect_noise((20, 20), 50).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


_PNG = _png()


@pytest.fixture
def lipo(tmp_path):
    def lipo(*words):
        return subprocess.run(
            [sys.executable, "-c", "from lipo.cli import main; main()", *map(str, words)],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )

    return lipo


def test_check_says_what_is_there_and_which_rows_are_wrong(lipo, tmp_path):
    path = tmp_path / "data" / "MME.tsv"
    path.parent.mkdir()
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(["index", "category", "question", "answer", "image"])
        writer.writerows([i, "OCR", "Is it?", "Yes" if i != 11 else "", _PNG if i == 0 else 0] for i in range(12))
    done = lipo("data", "check", "mme")
    assert done.returncode == 1
    assert "rows: 12\nimages: 1 distinct (1 PNG)" in done.stdout and "kind: perception 12\n" in done.stdout
    assert "problem in 1 rows: no right answer; rows 11\n" in done.stdout
    done = lipo("data", "check", "mme", "--limit", 11)
    assert done.returncode == 0 and "no problems" in done.stdout and "category: OCR 11\n" in done.stdout


def test_check_of_any_file_with_ones_own_declaration(lipo, tmp_path):
    (tmp_path / "q.jsonl").write_text(json.dumps({"frage": "1+1?", "antwort": "2"}) + "\n")
    assert "no row of q.jsonl can be used" in lipo("data", "check", "q.jsonl").stderr
    (tmp_path / "mine.yaml").write_text(
        "title: Mine\nabout: Sums.\nimage_required: false\nprompt: '{{ question }}'\nscorers: [{use: math}]\n"
        "columns: {question: [frage], answer: [antwort]}\n"
    )
    done = lipo("data", "check", "q.jsonl", "--declaration", "mine.yaml")
    assert done.returncode == 0 and "1 number (math)" in done.stdout


def test_list_and_fetch_speak_of_names(lipo):
    listed = lipo("data", "list")
    assert listed.returncode == 0 and "mathvista" in listed.stdout and "MathVista" in listed.stdout
    done = lipo("data", "fetch", "mathvist")
    assert done.returncode == 2 and "did you mean 'mathvista'?" in done.stderr
    assert "--from is 'web'" in lipo("data", "fetch", "mathvista", "--from", "web").stderr
