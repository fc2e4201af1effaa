"""Video benchmarks from small files in their published forms, with the odd rows that these have."""

import csv
import json
import shutil

import av
import datasets
import numpy as np
import pytest
from PIL import Image

from eval import BenchmarkConfig
from eval.benchmarks import resolve_benchmark, select_benchmarks
from eval.benchmarks.check import check_data
from eval.benchmarks.scores import published_scores
from eval.sources import ClipReader, read_items
from lipo.common import LipoError
from lipo.video import FrameOptions


def _write_clip(path, frames=20, fps=5):
    """Frame i is a grey of 10 i."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx-vp9" if path.suffix == ".webm" else "libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = 56, 28, "yuv420p"
        for i in range(frames):
            picture = np.full((28, 56, 3), 10 * i % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """Four seconds."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    _write_clip(path)
    return path


@pytest.fixture
def data(tmp_path, clip):
    """``data(name, …)`` puts a clip at these places; the folder of benchmark data."""

    def put(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(clip, tmp_path / name)
        return tmp_path

    return put


def _read(name, folder, frames=3, **options):
    config = resolve_benchmark(name, BenchmarkConfig(**options), folder)
    return read_items(name, config, ClipReader(folder / "frames", FrameOptions(frames=frames)))


def _write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def _ask(video, answer="a red ball", **more):
    return {"video": video, "question": "What is it?", "candidates": ["a dog", "a red ball"], "answer": answer, **more}


@pytest.fixture
def mvbench(data):
    video = "MVBench/video"
    folder = data(f"{video}/clevrer/video_validation/v.mp4", f"{video}/star/Charades_v1_480/S.mp4")
    film = folder / video / "tvqa/frames_fps3_hq/house_s01"
    film.mkdir(parents=True)
    for i in range(30):
        Image.new("RGB", (56, 28), (8 * i,) * 3).save(film / f"{i + 1:05d}.jpg")
    _write_clip(folder / video / "ssv2_video/w.webm")
    (folder / video / "star/Charades_v1_480/broken.mp4").write_bytes(b"no video")
    rows = {
        "moving_count": [_ask("v.mp4", start=1.0, end=2.0), _ask("gone.mp4"), _ask("v.mp4", "a cat")],
        "action_sequence": [
            _ask("S.mp4", start=1.0, end=2.0),
            _ask("S.mp4", start=90.0, end=99.0),
            _ask("broken.mp4", start=0.0, end=1.0),
            _ask("S.mp4", start=3.0, end=1.0),
            _ask("../../../../../secret.mp4", start=0.0, end=1.0),
        ],
        "action_antonym": [_ask("w.webm")],
        "episodic_reasoning": [_ask("house_s01", start=2.0, end=4.0)],
    }
    for task, asked in rows.items():
        _write(folder / "MVBench" / "json" / f"{task}.json", asked)
    (folder / "secret.mp4").touch()
    return folder


def test_mvbench_as_its_authors_publish_it(mvbench):
    items = {(item.groups["task"], item.index): item for item in _read("mvbench", mvbench)}
    found = {task: [item for (t, _), item in items.items() if t == task] for task, _ in items}
    assert set(found) == {"Moving Count", "Action Sequence", "Action Antonym", "Episodic Reasoning"}
    whole, gone, wrong = found["Moving Count"]
    assert whole.clip.times == pytest.approx((0.0, 1.8, 3.8)), "the bounds of this task are no part to be shown"
    assert "no video at" in gone.error and gone.clip is None
    assert wrong.error == "the right answer 'a cat' is the text of 0 options"
    part, beyond, broken, reversed_, outside = found["Action Sequence"]
    assert part.clip.times == pytest.approx((1.0, 1.4, 2.0)) and part.ground_truth == "B"
    assert "asked for: 90 s to 99 s, last frame at 3.8 s: S.mp4" in beyond.error and "broken.mp4" in broken.error
    assert "ends before it begins: 1 s, 3 s" in reversed_.error and "leaves" in outside.error
    assert found["Action Antonym"][0].error is None
    film = found["Episodic Reasoning"][0].clip
    assert film.times == pytest.approx((2.0, 3.0, 4.0)) and film.fps == pytest.approx(1.0)
    assert part.messages[0][1].startswith("<video>Carefully watch the video")
    assert "Options:\n(A) a dog\n(B) a red ball\nOnly give the best option.\nBest option:(" in part.question


def test_mvbench_as_vlmevalkit_writes_it(mvbench):
    rows = [
        {"task_type": "Moving Count", "prefix": "/root/x/video/clevrer/video_validation/", "bound": "False"},
        {"task_type": "Action Sequence", "prefix": "/x/video/star/Charades_v1_480/", "bound": "True"},
    ]
    path = mvbench / "MVBench" / "MVBench.tsv"
    with path.open("w", newline="") as file:
        columns = ["index", "task_type", "prefix", "data_type", "bound", "start", "end", "video", "question", "answer"]
        writer = csv.DictWriter(file, [*columns, "candidates"], delimiter="\t")
        writer.writeheader()
        for i, (row, video) in enumerate(zip(rows, ("v.mp4", "S.mp4"), strict=True)):
            told = {**_ask(video, start=1.0, end=2.0), **row, "index": i, "data_type": "video"}
            writer.writerow({**told, "candidates": str(told["candidates"])})
    shutil.rmtree(mvbench / "MVBench" / "json")
    whole, part = _read("mvbench", mvbench)
    assert [whole.error, part.error] == [None, None] and part.ground_truth == "B"
    assert (whole.clip.times[-1], part.clip.times[-1]) == pytest.approx((3.8, 2.0))


def test_data_are_checked_before_an_evaluation(mvbench):
    config = resolve_benchmark("mvbench", BenchmarkConfig(), mvbench)
    report = check_data("mvbench", config, None, ClipReader(mvbench / "frames", FrameOptions(frames=3)))
    assert (report.rows, report.videos, report.images) == (10, 4, 0)
    assert set(report.problems) == {
        "no video at",
        "the right answer",
        "the video shows nothing in the part asked for",
        "the video is no mp4, webm, mkv, avi or gif file",
        "the part to be shown ends before it begins",
        "video path",
    }


def test_answers_belong_to_what_was_shown(mvbench):
    def keys(**options):
        return [item.content_hash for item in _read("mvbench", mvbench, **options) if not item.error]

    first = keys()
    assert len(set(first)) == len(first) and keys() == first
    assert not set(keys(frames=2)) & set(first)
    _write_clip(mvbench / "MVBench/video/star/Charades_v1_480/S.mp4", frames=19)
    assert len(set(keys()) & set(first)) == len(first) - 1


@pytest.fixture
def videomme(data):
    folder = data("lmms-lab/Video-MME/data/abc.mp4", "lmms-lab/Video-MME/data/xyz.mp4")
    base = folder / "lmms-lab/Video-MME"
    (base / "subtitle").mkdir()
    lines = "1\n00:00:00,000 --> 00:00:01,000\n<b>Good day.</b>\n\n2\n00:00:03,000 --> 00:00:05,000\nBye.\n"
    (base / "subtitle/abc.srt").write_text(lines)
    rows = [
        {
            "video_id": f"{i:03d}",
            "duration": "short" if i else "long",
            "domain": "Knowledge",
            "sub_category": "Astronomy",
            "url": "https://example.org",
            "videoID": video,
            "question_id": f"{i:03d}-1",
            "task_type": "Counting Problem",
            "question": "How many?",
            "options": ["A. One.", "B. Two.", "C. Three.", "D. Four."],
            "answer": "C",
        }
        for i, video in enumerate(("abc", "xyz", "gone"))
    ]
    (base / "videomme").mkdir()
    datasets.Dataset.from_list(rows).to_parquet(base / "videomme" / "test-00000-of-00001.parquet")
    return folder


def test_videomme_with_and_without_subtitles(videomme):
    first, second, gone = _read("videomme", videomme)
    assert first.question.endswith(
        "of the correct option.\nHow many?\nA. One.\nB. Two.\nC. Three.\nD. Four.\nThe best answer is:"
    )
    assert first.question == second.question and "no video" in gone.error and first.ground_truth == "C"
    assert first.groups == {
        "duration": "long",
        "domain": "Knowledge",
        "task": "Counting Problem",
        "category": "Astronomy",
    }
    told, silent, _ = _read("videomme_subtitles", videomme)
    assert told.question.startswith("<video>This video's subtitles are listed below:\nGood day.\nBye.\nSelect the best")
    assert "listed below:\nNo subtitles available\nSelect" in silent.question
    (one,) = [item for item in _read("videomme_subtitles", videomme, frames=1) if item.index == 0]
    assert "Good day.\nSelect" in one.question, "only what is said while a frame is shown"


def test_questions_about_one_video_are_one_cluster(videomme):
    first, second, _ = _read("videomme", videomme)
    assert first.cluster == second.cluster, "they are the same file here"
    _write_clip(videomme / "lmms-lab/Video-MME/data/xyz.mp4", frames=10)
    first, second, _ = _read("videomme", videomme)
    assert first.cluster != second.cluster


def test_mlvu(data):
    folder = data("MLVU/MVLU/MLVU/video/1_plotQA/a.mp4", "MLVU/MVLU/MLVU/video/4_count/b.mp4")
    for task in ("1_plotQA", "4_count", "9_summary"):
        row = _ask("a.mp4" if task == "1_plotQA" else "b.mp4", duration=4, question_type=task[2:])
        _write(folder / "MLVU/MVLU/MLVU/json" / f"{task}.json", [row])
    items = _read("mlvu", folder)
    assert [item.groups["task"] for item in items] == ["plotQA", "count"], "generation tasks are left out"
    assert [item.error for item in items] == [None, None]
    assert published_scores("task_average", [*items, items[1]], [1.0, 0.0, 0.0]) == {
        "task average": 50.0,
        "count": 0.0,
        "plotQA": 100.0,
    }
    assert published_scores("task_average", [], []) == {}


def test_mmvu(data):
    folder = data("yale-nlp/MMVU/videos/Art/0.mp4")
    choices = dict(zip("ABCDE", ("10.0", "5.0", "", "", ""), strict=True))
    shared = {"question": "How much?", "metadata": {"subject": "Computer Science", "knowledge": ["x"]}}
    at = "https://huggingface.co/datasets/yale-nlp/MMVU/resolve/main/videos/Art/{}.mp4"
    rows = [
        {"id": "v0", "video": at.format(0), "question_type": "open-ended", "answer": "Dolly", "choices": {}, **shared},
        {"id": "v1", "video": at.format(0), "question_type": "multiple-choice", "answer": "A", "choices": choices},
        {"id": "v2", "video": at.format(9), "question_type": "multiple-choice", "answer": "A", "choices": choices},
    ]
    _write(folder / "yale-nlp/MMVU/validation.json", [{**shared, **row} for row in rows])
    here, gone = _read("mmvu", folder)
    assert here.error is None and "no video at" in gone.error
    assert here.groups == {"discipline": "Engineering", "subject": "Computer Science"}
    assert here.question.startswith("<video>Question: How much?\nA: 10.0\nB: 5.0\n\nDo not generate")
    (cot, _) = _read("mmvu+cot", folder)
    assert "the final answer is: $LETTER" in cot.question


def test_nextqa(data):
    folder = data("nextqa/NExTVideo/4010069381.mp4")
    row = {"video": 4010069381, "qid": 6, "type": "TP", "question": "why did he stop", "answer": 2}
    row |= {f"a{i}": f"reason {i}" for i in range(5)}
    (folder / "nextqa" / "MC").mkdir()
    path = folder / "nextqa" / "MC" / "test-00000-of-00001.parquet"
    datasets.Dataset.from_list([row, {**row, "answer": 7}, {**row, "video": 1}]).to_parquet(path)
    item, wrong, gone = _read("nextqa", folder)
    assert item.error is None and item.ground_truth == "C"
    assert item.groups == {"kind": "temporal", "type": "TN"}
    assert item.question == (
        "<video>Why did he stop?\nA. reason 0\nB. reason 1\nC. reason 2\nD. reason 3\nE. reason 4\n"
        "Answer with the option's letter from the given choices directly."
    )
    assert "the options are A, B, C, D, E" in wrong.error and "no video at" in gone.error
    path.unlink()
    with (folder / "nextqa" / "test.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerow(row)
    (from_csv,) = _read("nextqa", folder)
    assert (from_csv.question, from_csv.ground_truth) == (item.question, "C")


def test_modes_side_by_side(videomme):
    selected = select_benchmarks(["videomme+option", "videomme+reason"])
    option, reason = (_read(name, videomme)[0] for name in selected)
    assert option.question == _read("videomme", videomme)[0].question
    assert reason.question.startswith("<video>How many?\nOptions:\nA. One.")
    assert reason.question.endswith("final answer (option) in <answer> </answer> tags.")
    assert _read("mine", videomme, declaration="videomme", mode="reason")[0].question == reason.question
    with pytest.raises(LipoError, match="no mode 'think'") as error:
        resolve_benchmark("videomme+think", BenchmarkConfig(), videomme)
    assert "option, reason" in error.value.fix
    (videomme / "MMStar.tsv").touch()
    with pytest.raises(LipoError, match="'mmstar' has no mode 'reason'"):
        resolve_benchmark("mmstar+reason", BenchmarkConfig(), videomme)


@pytest.mark.parametrize("response", ["B", "(B) a red ball", "B) a red ball", "<think>so</think><answer>B</answer>"])
def test_answers_to_both_prompts_are_read(mvbench, response):
    from eval.scoring import find_scorer

    item = next(item for item in _read("mvbench", mvbench) if not item.error)
    scorer = find_scorer(item.scorer)
    assert scorer("x", response, item.ground_truth, item.extra_info, **item.scorer_options)["acc"] == 1.0
