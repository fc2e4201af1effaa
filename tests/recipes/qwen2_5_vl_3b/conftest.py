"""Small copies of the sources, in their own formats."""

import io
import json
import random

import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image, ImageDraw


def draw(seed, size=(64, 48), kind="PNG"):
    rng = random.Random(seed)
    image = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = rng.randrange(size[0]), rng.randrange(size[1])
        pen.rectangle((x, y, x + rng.randrange(4, 24), y + rng.randrange(4, 24)), fill=rng.randrange(1 << 24))
    output = io.BytesIO()
    image.save(output, kind)
    return output.getvalue()


@pytest.fixture
def picture():
    return draw


def _parquet(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    pa.parquet.write_table(pa.Table.from_pylist(rows), path)


def _file(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content) if isinstance(content, bytes) else path.write_text(content, encoding="utf-8")


def mmk12(root, n):
    rows = [
        {"id": f"m{i}", "question": f"<image>How large is angle {i}?", "answer": f"{i}°", "subject": "math",
         "image": {"bytes": draw(i), "path": f"{i}.png"}}
        for i in range(n)
    ]  # fmt: skip
    _parquet(root / "data/train-00000-of-00002.parquet", rows[: n // 2])
    _parquet(root / "data/train-00001-of-00002.parquet", rows[n // 2 :])
    _parquet(root / "data/test-00000-of-00001.parquet", rows[:1])
    _file(root / "README.md", "---\nlicense: apache-2.0\n---\n# MMK12\n")


def geometry3k(root, n):
    rows = [
        {"images": [{"bytes": draw(1000 + i), "path": None}], "problem": "<image>Find x.", "answer": rf"\sqrt{{{i}}}"}
        for i in range(n)
    ]
    rows.append({"images": [{"bytes": draw(1), "path": None}] * 2, "problem": "<image><image>Find y.", "answer": "2"})
    _parquet(root / "data/train-00000-of-00001.parquet", rows)


def mathvision(root, n):
    rows = [
        {"id": str(i), "question": f"<image1>\nWhich one is {i}?", "options": ["1", "2", "3"],
         "decoded_image": {"bytes": draw(2000 + i, kind="JPEG"), "path": None}, "answer": "ABC"[i % 3], "level": 1}
        for i in range(n)
    ]  # fmt: skip
    _parquet(root / "data/train-00000-of-00001.parquet", rows)


def tat_dqa(root, n):
    documents = []
    for i in range(n):
        _file(root / f"tat_docs/train/d{i}.png", draw(3000 + i))
        base = {"order": 1, "derivation": "", "req_comparison": False, "facts": [], "block_mapping": []}
        documents.append(
            {
                "doc": {"uid": f"d{i}", "page": 1, "source": "x.pdf"},
                "questions": [
                    {
                        "uid": f"q{i}a",
                        "question": f"What was revenue in {i}?",
                        "answer": 12.5 + i,
                        "answer_type": "arithmetic",
                        "scale": "million",
                        **base,
                    },
                    {
                        "uid": f"q{i}b",
                        "question": "By how much did it grow?",
                        "answer": ["3.5"],
                        "answer_type": "span",
                        "scale": "percent",
                        **base,
                    },
                    {
                        "uid": f"q{i}c",
                        "question": "Which segments are there?",
                        "answer": ["A", "B"],
                        "answer_type": "multi-span",
                        "scale": "",
                        **base,
                    },
                ],
            }
        )
    _file(root / "tatdqa_dataset_train.json", json.dumps(documents))


def wtq(root, n):
    lines = ["id\tutterance\tcontext\ttargetValue"]
    for i in range(n):
        lines.append(f"nt-{i}\twho came in place {i}?\tcsv/200-csv/{i}.csv\tDoe\\p Jane|Roe")
        _file(root / f"csv/200-csv/{i}.csv", f'"Place","Name"\n"{i}","Doe, ""Jane"""\n"{i + 1}","Roe"\n')
    lines.append("nt-big\thow many?\tcsv/200-csv/big.csv\t100")
    _file(root / "csv/200-csv/big.csv", '"N"\n' + '"1"\n' * 100)
    lines.append("nt-out\twho?\t../../secret.csv\tnobody")
    _file(root / "data/training.tsv", "\n".join(lines) + "\n")


def tabfact(root, n):
    examples = {}
    for i in range(n):
        examples[f"2-{i}.html.csv"] = [[f"ann has {i} points", "bob leads"], [1, 0], f"season {i}"]
        _file(root / f"data/all_csv/2-{i}.html.csv", f"name#points\nann#{i}\nbob#{i - 1}\n")
    _file(root / "tokenized_data/train_examples.json", json.dumps(examples))


def plotqa(root, n):
    pairs = [
        {"image_index": i, "qid": i, "question_string": f"What is the value in {2000 + i}?", "answer": 10.123456789 + i,
         "template": "data_retrieval", "type": "dot_line", "question_id": i, "answer_bbox": {}}
        for i in range(n)
    ]  # fmt: skip
    pairs.append({"image_index": 99, "qid": 99, "question_string": "Is it?", "answer": "Yes", "question_id": 99})
    for i in range(n):
        _file(root / f"train/png/{i}.png", draw(4000 + i))
    _file(root / "train/qa_pairs_V2.json", json.dumps({"qa_pairs": pairs}))


def tqa(root, n):
    lessons = []
    for i in range(n):
        _file(root / f"train/question_images/{i}.png", draw(5000 + i))
        question = {
            "answerChoices": {"a": {"processedText": "root"}, "b": {"processedText": "stem"}},
            "beingAsked": {"processedText": f"Which part is {i}?"},
            "correctAnswer": {"processedText": "b"},
            "imagePath": f"question_images/{i}.png",
        }
        lessons.append(
            {"globalID": f"L_{i}", "questions": {"diagramQuestions": {"DQ_1": question}, "nonDiagramQuestions": {}}}
        )
    _file(root / "train/tqa_v1_train.json", json.dumps(lessons))


def chartgalaxy(root, n):
    lines = []
    for i in range(n):
        _file(root / f"images/{i}.png", draw(6000 + i))
        lines.append(json.dumps({"image": f"images/{i}.png", "question": f"Which bar is {i}?", "answer": f"bar {i}"}))
    _file(root / "train_qa.jsonl", "\n".join(lines))


def ocr(root, n):
    lines = []
    for i in range(n):
        _file(root / f"words/{i}.jpg", draw(7000 + i, kind="JPEG"))
        lines.append(f'words/{i}.jpg\tWord "{i}"')
    lines.append("../escape.jpg\tsecret")
    _file(root / "train_labels.txt", "\n".join(lines) + "\n")


MAKERS = {"mmk12": mmk12, "geometry3k": geometry3k, "mathvision_train": mathvision, "tat_dqa": tat_dqa, "wtq": wtq,
          "tabfact": tabfact, "plotqa": plotqa, "tqa": tqa, "chartgalaxy": chartgalaxy, "ocr": ocr}  # fmt: skip


@pytest.fixture
def make_source(tmp_path):
    """Return a function that makes a small copy of a source and returns its directory."""

    def make(name, n=6):
        MAKERS[name](tmp_path / "sources" / name, n)
        return tmp_path / "sources" / name

    return make
