"""The page in a real browser: the content security policy lets its own script run, and nothing else."""

import dataclasses
import os
import re
import shutil
import subprocess

import pytest
from PIL import Image

from eval.report import write_report
from eval.sources import Clip

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--virtual-time-budget=3000",
    "--enable-logging=stderr",
]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def browse(tmp_path):
    """``browse(page, flag, …)``: standard output of Chromium, without any complaint of the page's."""
    if CHROMIUM is None:
        # Continuous integration must not pass without having looked.
        assert not os.environ.get("CI"), "Chromium is not installed; apt-get install chromium"
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")

    def browse(page, *flags):
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", *flags, page.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        assert "CONSOLE" not in done.stderr
        return done.stdout

    return browse


def test_browser_shows_items_and_runs_nothing_of_a_model(make_results, tmp_path, browse):
    results = make_results({"base": (0.5, 90), "math": (0.6, 40)}, items=20)
    # Also with a clip among the first, whatever the verdicts.
    for i, item in enumerate(results.items["math"]):
        clip = Clip([item.images[0]] * 3, (0.0, 1.0, 2.0), 1.0, 112, 56, "k")
        results.items["math"][i] = dataclasses.replace(item, images=(), clip=clip) if i % 2 else item
    rows = results.scores["math"]["math"]
    hostile = "</script><script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">"
    for i, row in enumerate(rows):
        rows[i] = type(row)(**{**row.__dict__, "response": hostile})
    page = browse(write_report(results, tmp_path, title="Quiet"), "--dump-dom")
    shown = page.split('<div id="items">')[1].split("<script")[0]
    assert len(re.findall(r'<div class="item">', shown)) == 10
    assert "&lt;/script&gt;" in shown and 'src="data:image/jpeg' in shown
    assert "<title>Quiet</title>" in page
    strips = re.findall(r'<div class="strip">(.*?)</div>', shown)
    assert strips and all(strip.count("<img") == 3 and "2 s" in strip for strip in strips)


def test_filters_choose_items(make_results, tmp_path, browse):
    """Drives the selects by a script of the test's own, which the page's policy has to be told of."""
    results = make_results({"base": (0.5, 90), "math": (0.6, 40)}, items=40)
    base, math = ({row.item: row for row in results.scores[m]["math"]} for m in ("base", "math"))
    worse = [i for i in base if base[i].correct > math[i].correct and math[i].tokens < base[i].tokens]
    assert 0 < len(worse) < 40
    path = write_report(results, tmp_path)
    drive = (
        "const box = [...document.querySelectorAll('#controls select')].at(-1);"
        "box.value = 'became wrong and shorter'; box.dispatchEvent(new Event('change'));"
    )
    page = path.read_text().replace("</body>", f"<script>{drive}</script></body>")
    path.write_text(re.sub(r"script-src 'sha256-[^']+'", "script-src 'unsafe-inline'", page))
    shown = browse(path, "--dump-dom")
    assert f"{len(worse)} of 40 items" in shown
    assert shown.split('<div id="items">')[1].count('<div class="item">') == min(10, len(worse))


@pytest.mark.parametrize(("name", "width"), [("phone", 390), ("desk", 1280)])
def test_it_fits_the_screen(make_results, tmp_path, browse, name, width):
    """Nothing but tables in their own scrolling boxes may be wider than the screen."""
    models = {"Qwen2.5-VL-3B-Instruct": (0.5, 90), **{f"expert-{i}": (0.6, 40) for i in range(4)}}
    path = write_report(make_results(models, ("math", "ocr", "structured"), items=40), tmp_path)
    picture = tmp_path / f"{name}.png"
    browse(path, f"--window-size={width},3000", f"--screenshot={picture}")
    image = Image.open(picture).convert("L")
    assert image.width == width
    # Text at the top and far below, and white margins on both sides: nothing runs out of the page.
    assert (
        image.crop((0, 0, width, 200)).getextrema()[0] < 80 and image.crop((0, 2600, width, 3000)).getextrema()[0] < 160
    )
    assert (
        image.crop((0, 0, 8, 3000)).getextrema() == image.crop((width - 8, 0, width, 3000)).getextrema() == (255, 255)
    )

    # Chromium prints pages at least 500 pixels wide; the picture above is as narrow as a phone.
    measure = "document.title = document.documentElement.scrollWidth - innerWidth + ' pixels too wide';"
    page = path.read_text().replace("</body>", f"<script>{measure}</script></body>")
    path.write_text(re.sub(r"script-src 'sha256-[^']+'", "script-src 'unsafe-inline'", page))
    shown = browse(path, f"--window-size={width},3000", "--dump-dom")
    assert "<title>0 pixels too wide</title>" in shown
