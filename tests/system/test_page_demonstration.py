"""`make run`'s page in a real browser: the real daemon, the embedded broker, the address that it prints."""

import re
import subprocess
import sys
import threading

import pytest

pytestmark = [pytest.mark.system, pytest.mark.slow]


@pytest.fixture
def demonstration():
    """The address of its page, while it runs."""
    command = [sys.executable, "-m", "edge.demo", "--recording", "--duration-s", "240"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    watchdog = threading.Timer(300, run.kill)
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
        run.stdout.close()
        run.wait(60)


def test_the_page_of_make_run_shows_the_real_daemon_s_street(demonstration, window):
    page = window.open(demonstration, user="")
    window.wait_for_broker("connected")
    card = page.locator('[data-source="demo/street"]')
    card.locator(".state", has_text="online").wait_for(timeout=60000)
    card.locator(".hears", has_text=re.compile(r"hears: \w|sounding|not sure|nothing loud|does not know")).wait_for(
        timeout=60000
    )
    value = card.locator(".value", has_text=re.compile(r"^.?\d+\.\d$"))
    value.wait_for(timeout=60000)
    page.locator('[data-node="demo"] dd', has_text="ONNX Runtime").wait_for(timeout=60000)
    page.locator('tr[data-event^="demo/street/"]').first.wait_for(timeout=180000)
    assert not page.is_visible("#rubbish"), page.inner_text("#rubbish")
    assert window.complaints == []
