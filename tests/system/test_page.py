"""The live page in a real Chromium, served by a real mosquitto as the example says: it shows what was published.

`make pictures` lets the same tests write the README's pictures.
"""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from edge.message_types import MESSAGE_TYPES
from edge.records import Message
from edge.sources.faults import FAULTS
from tests.edge.socket_broker import wait_until
from tests.system.page_scene import UNCALIBRATED, Corner, utc
from tests.system.page_shots import publish_scene

pytestmark = pytest.mark.system
CARD = '[data-source="%s"]'
NODE = '[data-node="%s"]'
PICTURES = os.environ.get("SOUNDCLR_PICTURES")


@pytest.fixture
def corner():
    return Corner("corner", site="Corner 5")


def see(window, selector, text, count=None):
    """Wait until an element's text holds this."""
    found = window.page.locator(selector, has_text=text)
    found.first.wait_for()
    if count is not None:
        assert wait_until(lambda: found.count() == count, 20), (count, found.all_inner_texts())


def cells_of(window, key):
    """An event's row, by column."""
    row = window.page.locator('tr[data-event="%s"]' % key)
    row.wait_for()
    names = row.locator("td").evaluate_all("cells => cells.map(cell => cell.dataset.name)")
    return dict(zip(names, row.locator("td").all_inner_texts(), strict=True))


def serious_violations(window):
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(window.page).response["violations"]
    return [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]


def take_picture(window, name):
    if PICTURES:
        from PIL import Image  # comes with matplotlib

        place = Path(PICTURES) / name
        window.page.screenshot(path=str(place))
        with Image.open(place) as picture:  # 200 colours are enough, and a third of the bytes
            picture.convert("RGB").quantize(200, dither=Image.Dither.NONE).save(place, optimize=True)


def test_the_page_shows_what_was_published_and_asks_nobody_else(page_broker, publisher, window):
    window.open(page_broker.address)
    publish_scene(publisher)
    see(window, CARD % "harbour-gate/mic", "sounding: siren")
    see(window, CARD % "market-square/mic", "online")
    see(window, CARD % "school-lane/mic", "node offline")
    see(window, "#summary", "2 of 3 nodes online, 9 events")
    see(window, CARD % "harbour-gate/mic", "calibrated 2026-10-01")
    see(window, CARD % "market-square/mic", "uncalibrated: re full scale")
    see(window, CARD % "market-square/mic", "not A-weighted to the standard")
    assert "LAeq" not in window.page.locator(CARD % "market-square/mic").inner_text()
    assert cells_of(window, "market-square/mic/market-square-mic-1")["Scale"] == "dBFS, band-limited, uncalibrated"
    late = cells_of(window, "school-lane/mic/late-1")
    assert (late["Sound"], late["Duration"], late["State"]) == ("dog bark", "8.4 s", "ended, history")
    assert cells_of(window, "harbour-gate/mic/harbour-gate-mic-4")["State"] == "sounding"
    see(window, NODE % "market-square", "214, the oldest 1 h 30 min")
    host = "127.0.0.1:%d" % page_broker.web_port
    assert window.requests and all(address.split("/")[2] == host for address in window.requests), window.requests
    assert window.complaints == []


def test_pictures_of_it_and_a_screen_reader_can_read_it_in_each(page_broker, publisher, window):
    page = window.open(page_broker.address)
    publish_scene(publisher)
    see(window, "#summary", "9 events")
    page.wait_for_timeout(1500)  # two frames: what is drawn is on the screen
    shapes = [("light", 1440, 900), ("dark", 1440, 900), ("light", 390, 844), ("dark", 390, 844)]
    for scheme, width, height in shapes:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(1200)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert serious_violations(window) == [], (scheme, width)
        is_drawn = page.evaluate(
            "Array.from(document.querySelectorAll('[data-source=\"harbour-gate/mic\"] canvas')).every(canvas => "
            "new Set(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data).size > 20)"
        )
        assert is_drawn
        if (scheme, width) != ("light", 390):
            take_picture(window, "page-%s.png" % (scheme if width > 400 else "phone"))
    page.locator(CARD % "harbour-gate/mic").locator("summary").click()
    rows = page.locator(CARD % "harbour-gate/mic").locator("details tbody tr")
    rows.first.wait_for()  # the browser tells the page that it is open in its own time
    assert rows.count() == 10
    page.click("#choose-broker")
    assert serious_violations(window) == []


def test_figures_are_those_of_the_messages_and_null_is_a_dash(page_broker, publisher, window, corner):
    window.open(page_broker.address)
    now_s = time.time()
    publisher.send(corner.status(), corner.status(source="mic"), corner.info(now_s))
    publisher.send(corner.level(now_s - 1, 68.43), corner.classification(now_s, {"siren": 0.91}, accepted="siren"))
    see(window, CARD % "corner/mic" + " .value", "68.4")
    see(window, CARD % "corner/mic" + " .unit", "dB(A)")
    see(window, CARD % "corner/mic" + " .hears", "hears: siren, score 0.91")
    publisher.send(corner.level(now_s, None))
    see(window, CARD % "corner/mic" + " .value", "-")
    publisher.send(corner.summary(now_s - 120, 61.0, 65.5, None, 52.5, 77.7, valid_percent=98.6))
    row = CARD % "corner/mic" + ' tr[data-period="summary"]'
    see(window, row, "Last minute")
    assert window.page.locator(row + " td").all_inner_texts() == ["61.0", "65.5", "-", "52.5", "77.7", "99 %"]
    old = corner.summary(
        now_s - 70 * 60 - 120, 40.0, 41.0, 40.0, 39.0, 42.0, replayed=True
    )  # history: not drawn over it
    taken = window.page.evaluate("soundclr.page._model.messages")
    publisher.send(old)
    assert wait_until(lambda: window.page.evaluate("soundclr.page._model.messages") > taken, 20)
    minute = int(now_s - 120) // 60
    level = window.page.evaluate("soundclr.page._model.sources()[0].minutes.at(%d, 'la10_db')" % minute)
    assert level == 65.5 and window.page.locator(row + " td").first.inner_text() == "61.0"
    publisher.send(corner.event("e1", "end", "dog_bark", now_s - 9, now_s - 1, laeq=71.2, lafmax=83.0, background=None))
    shown = cells_of(window, "corner/mic/e1")
    assert [shown[name] for name in ("Duration", "Leq", "Lmax", "Background", "Scale", "Score", "State")] == [
        "8.0 s",
        "71.2",
        "83.0",
        "-",
        "dB(A)",
        "0.93",
        "ended",
    ]
    values = [text for text in window.page.locator(NODE % "corner" + " dd").all_inner_texts() if text.startswith("0")]
    assert values == ["0.6.0"]  # no health yet: nothing but the software's version begins with 0
    publisher.send(corner.health(now_s, temperature_c=None, store_waiting=3))
    see(window, NODE % "corner", "Waiting to be sent")
    see(window, NODE % "corner" + " dd", "3, 4.3 s lost", 1)


def test_uncalibrated_levels_are_full_scale_ones_and_nodes_without_levels_say_so(page_broker, publisher, window):
    window.open(page_broker.address)
    now_s = time.time()
    bare, plain = Corner("bare", calibration=UNCALIBRATED), Corner("plain")
    for corner in (bare, plain):
        publisher.send(corner.status(), corner.status(source="mic"))
    publisher.send(bare.level(now_s - 1, 60.0))
    publisher.send(plain.classification(now_s, {"siren": 0.4}, level_dbfs=-41.25))
    see(window, CARD % "bare/mic" + " .value", "\u221258.0")
    see(window, CARD % "bare/mic" + " .unit", "dBFS")
    publisher.send(bare.health(now_s, calibration_mic="never calibrated"))
    see(window, CARD % "bare/mic" + " .note", "uncalibrated: re full scale, not sound pressure (never calibrated)")
    see(window, CARD % "plain/mic" + " .value", "\u221241.3")
    see(window, CARD % "plain/mic", "this node sends no sound levels")
    see(window, CARD % "plain/mic" + " .hears", "not sure")


def test_faults_are_told_in_words(page_broker, publisher, window, corner):
    page = window.open(page_broker.address)
    now_s = time.time()
    publisher.send(corner.status(), corner.status("offline", "mic"), corner.health(now_s, {"mic": "muted"}))
    see(window, CARD % "corner/mic", "microphone offline")
    see(window, CARD % "corner/mic" + " .troubles", FAULTS["muted"])
    publisher.send(corner.state(now_s, fault="busy", fault_detail="pid 42 (arecord) has it"))
    see(window, CARD % "corner/mic" + " .troubles", "another program has the device (pid 42 (arecord) has it)")
    publisher.send(corner.health(now_s, store_state="read_only", store_dropped=7, throttled=True, throttled_by="heat"))
    for text in ("the disk cannot be written", "7 events or summaries lost", "slows itself down (heat)"):
        see(window, NODE % "corner" + " .troubles", text)
    publisher.send(corner.level(now_s - 1, 91.0, overload_percent=12.5), corner.state(now_s))
    see(window, CARD % "corner/mic" + " .troubles", "overloaded")
    assert page.evaluate("Array.from(soundclr.words.FAULTS)") == [list(pair) for pair in FAULTS.items()]
    (field,) = (field for field in MESSAGE_TYPES["health"].fields if field.name == "store_state")
    assert page.evaluate("Array.from(soundclr.words.STORE_STATES.keys())") == list(field.choices)
    (field,) = (field for field in MESSAGE_TYPES["event"].fields if field.name == "end_reason")
    assert page.evaluate("Array.from(soundclr.words.END_REASONS.keys())") == list(field.choices)
    (field,) = (field for field in MESSAGE_TYPES["classification"].fields if field.name == "reason")
    assert page.evaluate("Array.from(soundclr.words.REASONS.keys())") == list(field.choices)


def test_clocks_that_are_wrong_are_named_and_their_levels_still_shown(page_broker, publisher, window, corner):
    window.open(page_broker.address)
    past_s = time.time() - 7200
    publisher.send(corner.status(), corner.status(source="mic"), *(corner.level(past_s + n, 64.0) for n in range(5)))
    see(window, CARD % "corner/mic" + " .value", "64.0")
    see(window, CARD % "corner/mic" + " .troubles", "behind this browser's")


def test_retained_state_is_there_at_once_and_nodes_that_are_cleared_vanish(page_broker, publisher, window, corner):
    other = Corner("other", ("east", "west"))
    now_s = time.time()
    publisher.send(corner.status(), corner.status(source="mic"), corner.info(now_s))
    publisher.send(other.status("offline"), other.status(source="east"), other.status(source="west"), other.info(now_s))
    page = window.open(page_broker.address)
    see(window, CARD % "corner/mic", "Corner 5")
    see(window, CARD % "other/west", "node offline")
    see(window, "#summary", "1 of 2 nodes online")
    page.select_option("#choose-node", "corner")
    page.locator(CARD % "other/west").wait_for(state="detached")
    page.select_option("#choose-node", "")
    see(window, CARD % "other/east", "node offline")
    publisher.send_raw("soundclr/other/west/status", b"", retain=True)
    page.locator(CARD % "other/west").wait_for(state="detached")
    publisher.send_raw("soundclr/other/status", b"", retain=True)
    publisher.send_raw("soundclr/other/info", b"", retain=True)
    page.locator(CARD % "other/east").wait_for(state="detached")
    page.locator(NODE % "other").wait_for(state="detached")
    see(window, "#summary", "1 of 1 nodes online")
    publisher.send(other.status())
    see(window, NODE % "other", "online")


def test_an_event_is_one_row_however_often_and_in_whatever_order_it_comes(page_broker, publisher, window, corner):
    window.open(page_broker.address)
    now_s = time.time()
    publisher.send(corner.status(), corner.status(source="mic"))
    start = corner.event("e1", "start", "siren", now_s - 9, now_s - 9)
    update = corner.event("e1", "update", "siren", now_s - 9, now_s - 4)
    end = corner.event("e1", "end", "siren", now_s - 9, now_s - 2, end_reason="gap")
    publisher.send(start)
    assert wait_until(lambda: cells_of(window, "corner/mic/e1")["State"] == "sounding")
    assert wait_until(lambda: window.page.inner_text("#announcer") != "", 20)
    said = window.page.inner_text("#announcer")
    assert said == "siren at corner, mic"
    publisher.send(update, start, corner.event("e1", "update", "siren", now_s - 9, now_s - 6))
    publisher.send(corner.event("e0", "end", "dog_bark", now_s - 99, now_s - 98, replayed=True))  # all of it has come
    assert cells_of(window, "corner/mic/e0")["State"] == "ended, history"
    assert window.page.evaluate("soundclr.page._model.events._events.get('corner/mic/e1').duration_s") == 5.0
    publisher.send(end, end, update, start, corner.event("e1", "update", "siren", now_s - 9, now_s - 1))
    assert wait_until(lambda: cells_of(window, "corner/mic/e1")["State"] == "cut off by a gap")
    assert cells_of(window, "corner/mic/e1")["Duration"] == "7.0 s"
    for number in range(40):
        begin_s = now_s - 4000 + number
        publisher.send(corner.event("old-%d" % number, "end", "dog_bark", begin_s, begin_s + 1.5, replayed=True))
    see(window, "#summary", "42 events")
    rows = window.page.locator("#events tbody tr")
    assert wait_until(lambda: rows.count() == 25, 20)
    window.page.click("#more-events")
    assert wait_until(lambda: rows.count() == 42, 20)
    assert rows.first.get_attribute("data-event") == "corner/mic/e1"  # the newest by its own time
    assert window.page.locator("td", has_text="ended, history").count() == 41
    window.page.wait_for_timeout(7000)
    assert window.page.inner_text("#announcer") == said  # history is not announced, nor what comes twice


def test_history_that_comes_again_is_counted_once_however_much_of_it_there_is(page_broker, window):
    """Straight into the log: what no longer has a place in it is known all the same, and an end ends it."""
    page = window.open(page_broker.address)
    seen = page.evaluate(
        """() => {
      const log = new soundclr.EventLog(300);
      const event = (number, phase, duration_s) => ({
        event_id: "e" + number, phase, label: "siren", ts_ms: 1.8e12 + number * 1000, duration_s, replayed: true });
      const take = (number, phase, duration_s) => log.take("n", "mic", event(number, phase, duration_s));
      for (let number = 0; number < 1000; number += 1) { take(number, "start", 0); take(number, "end", 1); }
      const first = [log.started, log.size];
      const kept = () => Array.from(log.all(), (one) => one.key).sort().join();
      const before = kept();
      let news = 0;
      for (let number = 0; number < 1000; number += 1) {  // `history` sends them once more
        for (const phase of ["start", "end"]) if (take(number, phase, phase === "end" ? 1 : 0)) news += 1;
      }
      const again = [log.started, log.size, news, kept() === before];
      for (let number = 2000; number < 2301; number += 1) take(number, "start", 0);  // more sound than have a place
      const late = take(2000, "end", 1);
      const open = [log.started, log.size, late.phase, late.isNew];
      for (let number = 3000; number < 60000; number += 1) take(number, "end", 1);
      return { first, again, open, remembered: log._forgotten.size };
    }"""
    )
    assert seen == {
        "first": [1000, 300],
        "again": [1000, 300, 0, True],
        "open": [1301, 300, "end", False],
        "remembered": 20000,
    }


HOSTILE = "<img src=x onerror=\"document.title='owned'\">"


def test_rubbish_is_counted_and_no_text_of_a_stranger_becomes_html(page_broker, publisher, window, corner):
    page = window.open(page_broker.address)
    now_s = time.time()
    publisher.send(corner.status(), corner.status(source="mic"), corner.level(now_s - 1, 60.0))
    payload = json.loads(corner.event("e1", "end", "siren", now_s - 3, now_s).payload)
    rubbish = [
        ("corner/health", b"{"),
        ("corner/health", b"[]"),
        ("corner/info", b"null"),
        ("corner/status", b"on"),
        ("corner/info", b"\xff\xfe"),
        ("corner/mic/level", b"12"),
        ("corner/mic/level", b"[" * 60000),
        ("corner/mic/event", json.dumps(dict(payload, phase="middle")).encode()),
        ("corner/mic/event", json.dumps(dict(payload, ts_ms="now", id="2")).encode()),
        ("corner/mic/event", json.dumps(dict(payload, label=HOSTILE, id="3")).encode()),
        ("corner/mic/classification", json.dumps({"ts_ms": 1e300}).encode()),
        ("corner/mic/classification", corner.classification(now_s, {"siren": 0.5}).payload + b" " * 70000),
        ("UPPER/status", b"online"),
        ("corner/.../status", b"online"),
    ]
    for topic, bytes_sent in rubbish:
        publisher.send_raw("soundclr/" + topic, bytes_sent)
    see(window, "#rubbish", "%d could not be read" % len(rubbish))
    hostile = dict(
        json.loads(corner.info(now_s).payload),
        site=HOSTILE,
        version=HOSTILE + "\u202e\x07",
        runtime=["a"],
        bundle={"a": 1},
    )
    publisher.send_raw("soundclr/corner/info", json.dumps(hostile).encode(), retain=True)
    see(window, NODE % "corner" + " .site", HOSTILE)
    odd = dict(
        json.loads(corner.classification(now_s, {"siren": 0.5}).payload), score="high", level_dbfs="1e9", label=HOSTILE
    )
    odd.update({"score_" + HOSTILE: 1.0, "score___proto__": 1.0, "score_constructor": 0.4, "accepted_label": HOSTILE})
    publisher.send_raw("soundclr/corner/mic/classification", json.dumps(odd).encode())
    state = dict(json.loads(corner.state(now_s).payload), fault=HOSTILE, fault_detail=HOSTILE * 100)
    publisher.send_raw("soundclr/corner/mic/state", json.dumps(state).encode())
    see(window, CARD % "corner/mic" + " .troubles", HOSTILE)
    publisher.send_raw("soundclr/corner/mic/health/new/topic", b"{}")  # v1 may gain topics
    publisher.send(corner.level(now_s, 61.5))
    see(window, CARD % "corner/mic" + " .value", "61.5")
    assert page.locator("img").count() == 0 and page.title() == "Street sound"
    assert "constructor" in page.evaluate("soundclr.page._model.sources()[0].labels")
    assert window.complaints == []
    see(window, "#rubbish", "%d could not be read" % len(rubbish))


def test_weeks_of_messages_take_no_more_room_than_minutes(page_broker, window):
    """As fast as the browser takes them, straight into the model; and more names than a city has."""
    page = window.open(page_broker.address)
    sizes = page.evaluate(
        """() => {
      const model = new soundclr.Model("r");
      const bytes = (values) => new TextEncoder().encode(typeof values === "string" ? values : JSON.stringify(values));
      let now = 1.8e12;
      const feed = (topic, values) => model.feed("r/" + topic, bytes(values), now);
      for (let second = 0; second < 100000; second += 1, now += 1000) {
        const common = { ts_ms: now, start: new Date(now - 1000).toISOString(), id: "m" + second };
        feed("n/mic/level", { ...common, laeq_dbfs: -50 });
        feed("n/mic/classification", { ...common, ["score_class" + (second % 90)]: 0.5 });
        const event = { ...common, event_id: "e" + second, phase: "start", label: "siren" };
        if (second % 10 === 0) feed("n/mic/event", event);
        if (second % 60 === 0) feed("n/mic/summary", { ...common, la10_dbfs: -40 });
      }
      for (let number = 0; number < 1000; number += 1) feed("node" + number + "/status", "online");
      for (let number = 0; number < 1000; number += 1) feed("n/mic" + number + "/status", "online");
      const source = model.nodes.get("n").sources.get("mic");
      return {
        events: model.events.size, labels: source.labels.length, nodes: model.nodes.size,
        columns: source.seconds._columns.size, sources: model.sources().length, rubbish: model.rubbish,
        lengths: new Set(Array.from(source.seconds._columns.values(), (column) => column.length)).size,
      };
    }"""
    )
    assert sizes == {
        "events": 300,
        "labels": 40,
        "nodes": 200,
        "columns": 90,
        "sources": 256,
        "rubbish": 801 + 745,
        "lengths": 1,
    }


def test_a_broker_that_goes_away_is_told_of_and_waited_for(page_broker, publisher, window, corner):
    window.open(page_broker.address)
    publisher.send(corner.status(), corner.status(source="mic"))
    see(window, CARD % "corner/mic", "online")
    page_broker.stop(signal.SIGKILL)
    window.wait_for_broker("away")
    see(window, "#broker-state", "the broker is away since")
    see(window, CARD % "corner/mic" + " .state", "not known")
    see(window, "#summary", "0 of 1 nodes online")
    page_broker.start()
    window.wait_for_broker("connected")  # by itself, with the password that it was given
    publisher.send(corner.status(), corner.status(source="mic"), corner.level(time.time() - 1, 55.5))
    see(window, CARD % "corner/mic" + " .state", "online")
    see(window, CARD % "corner/mic" + " .value", "55.5")


def test_a_wrong_password_is_asked_for_again_and_none_is_kept(page_broker, window):
    page = window.open(page_broker.address, user="")
    page.wait_for_selector("dialog[open]")
    window.log_in("viewer", "wrong")
    see(window, "dialog[open] .notice", "asks for a name and a password")
    assert page.input_value("input[name=password]") == ""
    page.fill("input[name=broker]", "http://127.0.0.1")
    window.log_in("viewer", "viewpw")
    see(window, "dialog[open] .notice", "by ws:// or wss:// only")
    page.fill("input[name=broker]", "ws://127.0.0.1:%d/mqtt" % page_broker.web_port)
    window.log_in("viewer", "viewpw")
    window.wait_for_broker("connected")
    kept = page.evaluate("JSON.stringify([location.href, document.cookie, localStorage, sessionStorage])")
    assert "viewpw" not in kept and "viewer" not in kept


def test_a_link_may_name_broker_and_root_but_no_stranger_s_and_no_password(page_broker, publisher, window):
    own = "ws://127.0.0.1:%d" % page_broker.web_port
    elsewhere = Corner("far", root="soundclr/city")
    publisher.send(elsewhere.status(), elsewhere.status(source="mic"))
    page = window.open(page_broker.address + "?broker=%s&root=soundclr/city" % own)
    see(window, CARD % "far/mic", "online")
    for query, notice in [
        ("broker=ws://localhost:%d" % page_broker.web_port, "another host than this page's"),
        ("broker=ws://viewer:viewpw@127.0.0.1:1", "do not belong into an address"),
        ("broker=javascript:alert(1)", "by ws:// or wss:// only"),
        ("broker=", None),
        ("root=a/%23", "The topic root is the text before"),
    ]:
        page.goto(page_broker.address + "?" + query)
        if notice:
            see(window, "dialog[open] .notice", notice)
            assert page.get_attribute("body", "data-broker") == "idle"
    assert "viewpw" not in page.content()


def test_it_is_used_with_the_keyboard_alone_and_remembers_its_theme(page_broker, publisher, window, corner):
    page = window.open(page_broker.address)
    publisher.send(corner.status(), corner.status(source="mic"), corner.level(time.time() - 1, 60.0))
    see(window, CARD % "corner/mic", "online")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    page.focus("#choose-theme")
    backgrounds = set()
    for theme in ("light", "dark"):
        page.keyboard.press("Enter")
        assert page.inner_text("#choose-theme") == "Theme: " + theme
        backgrounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(backgrounds) == 2
    page.reload()
    page.wait_for_selector("dialog[open]")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.keyboard.press("Escape")
    page.focus("#choose-broker")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")


def test_a_reader_sees_what_the_broker_lets_it_read(page_broker, publisher, window):
    page = window.open(page_broker.address, user="")
    page.wait_for_selector("dialog[open]")
    window.log_in("corner", "s3cret")
    window.wait_for_broker("connected")
    publisher.send(Corner("corner").status(), Corner("other").status())
    see(window, NODE % "corner", "online")
    assert window.page.locator(NODE % "other").count() == 0


def test_a_message_of_each_type_is_taken_as_the_definition_has_it(page_broker, publisher, window, corner):
    """What v1 defines is no rubbish to the page, and what it may gain is none either."""
    window.open(page_broker.address)
    now_s = time.time()
    publisher.send(corner.status(), corner.status(source="mic"), corner.info(now_s), corner.health(now_s))
    publisher.send(corner.level(now_s, 60.0), corner.classification(now_s, {"siren": 0.5}), corner.state(now_s))
    publisher.send(corner.event("e", "start", "siren", now_s, now_s))
    for kind, length_s in (("summary", 60.0), ("summary_hour", 3600.0)):
        publisher.send(corner.summary(now_s - length_s, 60.0, 63.0, 58.0, 50.0, 80.0, kind=kind, length_s=length_s))
    levels = {name + end: value for name, value in (("lden", 63.4), ("lnight", 55.1)) for end in ("_db", "_dbfs")}
    day = corner.summary(
        now_s - 86400,
        60.0,
        63.0,
        58.0,
        50.0,
        80.0,
        kind="summary_day",
        length_s=86400.0,
        local_date="2026-11-22",
        time_zone="Europe/Berlin",
        lden_valid_percent=98.0,
        **levels,
    )
    publisher.send(day, corner.factory.build("check", utc(now_s), {"nonce": "n"}))
    gained = json.loads(day.payload)
    publisher.send(Message(day.topic, json.dumps(dict(gained, gained_db=1.0)).encode(), 1, False, True))
    see(window, CARD % "corner/mic", "Lden 63.4 dB(A)")
    see(window, CARD % "corner/mic", "Lnight 55.1 (2026-11-22, 98 % valid)")
    see(window, CARD % "corner/mic" + ' tr[data-period="summary_day"]', "Last day (UTC)")
    assert not window.page.is_visible("#rubbish")
