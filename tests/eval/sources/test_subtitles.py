import pytest

from eval.sources._subtitles import read_subtitles, spoken_at

SRT = """\ufeff1\r
00:00:00,500 --> 00:00:02,000\r
<font color="white" size=".72c">Hello &amp; welcome.</font>\r
\r
2\r
00:00:02.000 --> 00:01:04,25\r
{\\an8}Two\r
lines.\r
\r
\r
not a block\r
\r
3\r
01:00:00,000 --> 01:00:01,000\r
\r
00:59:00,000 --> 00:59:30,000\r
Without a number.\r
"""


def test_blocks_of_every_kind(tmp_path):
    path = tmp_path / "a.srt"
    path.write_bytes(SRT.encode())
    found = read_subtitles(path)
    assert found == [
        (0.5, 2.0, "Hello &amp; welcome."),
        (2.0, 64.25, "Two lines."),
        (3540.0, 3570.0, "Without a number."),
    ]
    assert spoken_at(found, [0.0, 1.0, 1.9, 3545.0]) == ["Hello &amp; welcome.", "Without a number."]
    assert spoken_at(found, []) == []


def test_bytes_that_are_no_text_and_files_too_large(tmp_path):
    path = tmp_path / "a.srt"
    path.write_bytes(b"1\n00:00:00,000 --> 00:00:01,000\ncaf\xe9\n")
    assert read_subtitles(path) == [(0.0, 1.0, "caf\ufffd")]
    with path.open("wb") as file:
        file.truncate(9 << 20)
    with pytest.raises(ValueError, match="no file of subtitles"):
        read_subtitles(path)
