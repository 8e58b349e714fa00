"""Debian's Chromium without a screen, driven by Playwright; and a broker that serves the page as the example says."""

import os
import shutil
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

from tests.edge.socket_broker import wait_until
from tests.system.broker_fixtures import PASSWORDS, Mosquitto, free_ports, skip_without_mosquitto

EXAMPLE = Path(__file__).resolve().parents[2] / "systemd" / "mosquitto" / "page.conf"
PAGE = Path(__file__).resolve().parents[2] / "edge" / "page"
QUIET = [
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


class PageBroker(Mosquitto):
    """A mosquitto with the lines of systemd/mosquitto/page.conf besides: the page and websockets at one address."""

    def __init__(self, folder):
        super().__init__(folder)
        (self.web_port,) = free_ports(1)
        self.awaited_ports.append(self.web_port)  # opened last: a browser is told no at once
        replaced = {
            "listener 1883\n": "",  # the tests' own are there
            "listener 9001\n": "listener %d 127.0.0.1\nsocket_domain ipv4\n" % self.web_port,
            "/usr/local/share/soundclr-edge/page": str(PAGE),
        }
        text = EXAMPLE.read_text(encoding="utf-8")
        for old, new in replaced.items():
            assert old in text
            text = text.replace(old, new)
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        with open(str(folder / "mosquitto.conf"), "a", encoding="utf-8") as settings:
            settings.write("\n".join(lines) + "\n")

    @property
    def address(self):
        return "http://127.0.0.1:%d/" % self.web_port


class Publisher:
    """Publishes as a city's nodes do; `send` returns once the broker has all of it."""

    def __init__(self, broker):
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.username_pw_set("viewer", PASSWORDS["viewer"])
        self._client.max_inflight_messages_set(1000)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        assert wait_until(self._client.is_connected)

    def close(self):
        self._client.disconnect()
        self._client.loop_stop()

    def send(self, *messages):
        for message in messages:
            last = self._client.publish(message.topic, message.payload, max(1, message.qos), message.retain)
        last.wait_for_publish(60)

    def send_raw(self, topic, payload, retain=False):
        self._client.publish(topic, payload, 1, retain).wait_for_publish(60)


class Window:
    """One page in a browser, and what it complained of."""

    def __init__(self, context):
        self.complaints, self.requests = [], []
        self.page = context.new_page()
        self.page.set_default_timeout(30000)
        self.page.on(
            "console", lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("websocket", lambda socket: self.requests.append(socket.url))

    def open(self, address, user="viewer"):
        self.page.goto(address)
        if user:
            self.page.wait_for_selector("dialog[open]")
            self.log_in(user, PASSWORDS[user])
            self.wait_for_broker("connected")
        return self.page

    def log_in(self, user, password):
        self.page.fill("input[name=user]", user)
        self.page.fill("input[name=password]", password)
        self.page.click("dialog button[type=submit]")

    def wait_for_broker(self, state):
        self.page.wait_for_selector('body[data-broker="%s"]' % state)


@pytest.fixture(scope="module")
def chromium():
    """A browser that reaches this machine alone."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    arguments = QUIET + (["--no-sandbox"] if os.geteuid() == 0 else [])  # root has no sandbox
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page_broker(tmp_path):
    skip_without_mosquitto()
    with PageBroker(tmp_path) as broker:
        yield broker


@pytest.fixture
def publisher(page_broker):
    sender = Publisher(page_broker)
    yield sender
    sender.close()


@pytest.fixture
def window(chromium):
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB", timezone_id="Europe/Berlin")
    yield Window(context)
    context.close()
