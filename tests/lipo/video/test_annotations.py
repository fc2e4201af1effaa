import json

import pytest

from lipo.common import LipoError
from lipo.video import FORMATS, Question, read_questions

NEXTQA = """video,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4
4010069381,369,640,480,how do the two man play the instrument,0,6,CH,roll it,tap,strum,hit it,pat with hand
6233408665,752,640,480,what did they do after she finished singing?,3,8,TN,sitting.,give it to her.,take it.,clap.,walk.
6233408665,752,640,480,why,9,9,CW,a,b,c,d,e
6233408665,752,640,480,,1,10,CW,a,b,c,d,e
"""
ASKED = "how many birds are there?\nA. one.\nB. two.\nC. three."
INSTRUCTION = "\nPlease provide your answer by stating the letter followed by the full option."
ANSWERED = "<think>\nOne on the left, one on the right.\n</think>\n<answer>B</answer>"


def conversation(asked, answered, **more):
    turns = [{"from": "human", "value": asked}, {"from": "gpt", "value": answered}]
    return {"id": "0", "video": "NextQA/NExTVideo/1164/2401.mp4", "conversations": turns, **more}


def write(path, rows):
    if path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_nextqa(tmp_path):
    (tmp_path / "val.csv").write_text(NEXTQA)
    questions, left_out = read_questions(tmp_path / "val.csv", "nextqa")
    assert questions[0] == Question(
        video="4010069381.mp4",
        question="How do the two man play the instrument?",
        options=("roll it", "tap", "strum", "hit it", "pat with hand"),
        answer="A",
        identity="4010069381_6",
        kind="CH",
    )
    assert questions[1].answer == "D" and questions[1].options[3] == "clap"
    assert questions[1].question.endswith("finished singing?")
    assert left_out == {"the answer names no option": 1, "no question": 1}
    (tmp_path / "map_vid_vidorID.json").write_text(json.dumps({"6233408665": "1150/6233408665"}))
    questions, _ = read_questions(tmp_path / "val.csv", "nextqa")
    assert [question.video for question in questions] == ["4010069381.mp4", "1150/6233408665.mp4"]


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_llava_video_178k(tmp_path, suffix):
    rows = [
        conversation(f"<image>\n{ASKED}{INSTRUCTION}", "B. two.", data_source="0_30_s_nextqa"),
        conversation("<image>\nwhat happens?", "A bird sings."),
        conversation(f"<image>\n{ASKED}", "D. four."),
        conversation(f"<image>\n{ASKED}", "two"),
        {"id": "4", "conversations": []},
        [],
    ]
    questions, left_out = read_questions(write(tmp_path / f"a{suffix}", rows), "llava_video_178k")
    assert questions == [
        Question(
            video="NextQA/NExTVideo/1164/2401.mp4",
            question="how many birds are there?",
            options=("one.", "two.", "three."),
            answer="B",
            identity="0_0",
            kind="0_30_s_nextqa",
        )
    ]
    assert left_out == {
        "no options A, B, ...": 1,
        "the answer names no option": 2,
        "no video": 1,
        "the row is no object": 1,
    }


def test_several_turns_are_several_questions(tmp_path):
    row = conversation(f"<image>\n{ASKED}", "B. two.")
    row["conversations"] += [{"from": "human", "value": ASKED}, {"from": "gpt", "value": "(C) three."}]
    questions, _ = read_questions(write(tmp_path / "a.json", [row]), "llava_video_178k")
    assert [(q.identity, q.answer) for q in questions] == [("0_0", "B"), ("0_1", "C")]


def test_problem_and_solution(tmp_path):
    rows = [
        {"video_filename": "./NextQA/1/2.mp4", "problem": ASKED, "solution": "<answer> C </answer>", "problem_id": 7},
        {"video_filename": "./NextQA/1/3.mp4", "problem": ASKED, "solution": "A"},
        {"problem": ASKED, "solution": "A"},
    ]
    questions, left_out = read_questions(write(tmp_path / "a.jsonl", rows), "problem_solution")
    assert [(q.video, q.answer, q.identity) for q in questions] == [
        ("NextQA/1/2.mp4", "C", "7"),
        ("NextQA/1/3.mp4", "A", "NextQA/1/3.mp4"),
    ]
    assert left_out == {"no video_filename": 1}


def test_cold_start(tmp_path):
    rows = [conversation(f"<image>\n{ASKED}", ANSWERED) for _ in range(16)]
    rows.append(conversation(f"<image>\n{ASKED}", "B"))
    questions, left_out = read_questions(write(tmp_path / "cold.json", rows), "cold_start")
    assert len(questions) == 16
    assert (questions[0].answer, questions[0].response) == ("B", ANSWERED)
    assert left_out == {"the response lacks <think> or <answer>": 1}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[1, 2]", b"null", b"video\n1\n", b"[[[["])
def test_other_files_are_refused_with_a_reason(tmp_path, name, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(LipoError, match=r"cannot read|no question"):
        read_questions(tmp_path / "a", name)


def test_unknown_format_and_missing_file(tmp_path):
    with pytest.raises(LipoError, match="did you mean 'nextqa'"):
        read_questions(tmp_path / "a", "next_qa")
    with pytest.raises(LipoError, match="cannot read"):
        read_questions(tmp_path / "a", "nextqa")
