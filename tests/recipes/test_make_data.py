import pandas as pd

from recipes.tiny.make_data import make_frame


def test_rows_are_in_verls_format():
    frame = make_frame("structured", "test", 3)
    assert list(frame.columns) == ["data_source", "prompt", "images", "ability", "reward_model", "extra_info"]
    row = frame.iloc[1]
    assert row.prompt[0]["content"].startswith("<image>")
    assert row.images[0]["bytes"].startswith(b"\x89PNG")
    assert row.reward_model == {"style": "rule", "ground_truth": row.extra_info["answer"]}
    assert row.extra_info["index"] == 1


def test_more_rows_begin_with_the_fewer():
    few, many = make_frame("ocr", "train", 2), make_frame("ocr", "train", 4)
    pd.testing.assert_frame_equal(few, many.iloc[:2])
