"""The page in a real browser: the content security policy lets its own script run, and nothing else."""

import re
import shutil
import subprocess

import pytest

from eval.report import write_report

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
    "--virtual-time-budget=3000",
    "--enable-logging=stderr",
    "--dump-dom",
]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_browser_shows_items_and_runs_nothing_of_a_model(make_results, tmp_path):
    results = make_results({"base": (0.5, 90), "math": (0.6, 40)}, items=20)
    rows = results.scores["math"]["math"]
    hostile = "</script><script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">"
    for i, row in enumerate(rows):
        rows[i] = type(row)(**{**row.__dict__, "response": hostile})
    page = write_report(results, tmp_path, title="Quiet")
    browser = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()]
    done = subprocess.run(browser, capture_output=True, text=True, timeout=120, check=True)
    shown = done.stdout.split('<div id="items">')[1].split("<script")[0]
    assert len(re.findall(r'<div class="item">', shown)) == 10
    assert "&lt;/script&gt;" in shown and 'src="data:image/jpeg' in shown
    assert "<title>Quiet</title>" in done.stdout
    assert "CONSOLE" not in done.stderr
