"""`make run`'s page in a real browser: the real daemon, the embedded broker, the address that it prints."""

import re
import subprocess
import sys
import threading

import pytest

pytestmark = [pytest.mark.system, pytest.mark.slow]
HANG_MS = 300000  # a daemon at low priority on a busy machine takes a minute to start


@pytest.fixture
def demonstration():
    """The address of its page, while it runs."""
    command = [sys.executable, "-m", "edge.demo", "--recording", "--duration-s", "1500"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    watchdog = threading.Timer(1600, run.kill)
    watchdog.start()
    try:
        printed = []
        for line in run.stdout:
            printed.append(line)
            found = re.search(r"Live page: (http://127\.0\.0\.1:\d+/\S*)", line)
            if found:
                yield found.group(1)
                break
        else:
            pytest.fail("".join(printed))
    finally:
        watchdog.cancel()
        run.terminate()
        rest = run.communicate(timeout=120)[0]
        assert "classifications from 1 node" in rest  # it ended its daemon and said what there was


def test_the_page_of_make_run_shows_the_real_daemon_s_street(demonstration, window):
    page = window.open(demonstration, user="")
    window.wait_for_broker("connected")
    card = page.locator('[data-source="demo/street"]')
    card.locator(".state", has_text="online").wait_for(timeout=HANG_MS)
    card.locator(".hears", has_text=re.compile(r"hears: \w|sounding|not sure|nothing loud|does not know")).wait_for(
        timeout=HANG_MS
    )
    card.locator(".value", has_text=re.compile(r"^\u2212\d+\.\d$")).wait_for(timeout=HANG_MS)
    card.locator(".what", has_text="Leq, band-limited, 1 s").wait_for(timeout=HANG_MS)  # the recording has 32 kHz
    assert "uncalibrated" in card.locator(".note").first.inner_text() and card.locator(".unit").inner_text() == "dBFS"
    page.locator('[data-node="demo"] dd', has_text="ONNX Runtime").wait_for(timeout=HANG_MS)
    ended = page.locator('tr[data-event^="demo/street/"][data-state="ended"]').first
    ended.wait_for(timeout=HANG_MS)
    for column in ("Leq", "Lmax"):
        assert re.match(r"\u2212\d+\.\d$", ended.locator('td[data-name="%s"]' % column).inner_text())
    figures = card.locator('tr[data-period="summary"]')
    figures.locator("td", has_text=re.compile(r"^\u2212\d+\.\d$")).first.wait_for(timeout=HANG_MS)
    assert "\u2212" in figures.locator("td").nth(1).inner_text()  # L10
    assert not page.is_visible("#rubbish"), page.inner_text("#rubbish")
    assert window.complaints == []
