"""Scraped over HTTP, as Prometheus does it, and read by its own parser."""

import socket
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge.config import address_from_listen
from edge.message_types import MESSAGE_TYPES
from edge.prometheus import Figures, PrometheusEndpoint
from edge.timing import Durations

HEALTH = {
    "uptime_s": 3.0,
    "windows": 120,
    "gaps": 2,
    "lost_s": 1.5,
    "mqtt_sent": 9,
    "store_waiting": 4,
    "memory_mb": 50.5,
    "temperature_c": 41.5,
    "throttled": False,
    "throttled_by": None,
    "file_descriptors": 12,
    "cpu_ratio": 0.5,
}


def figures(**health):
    durations = Durations()
    for milliseconds in range(1, 101):
        durations.add(milliseconds / 1000.0)
    labels = {"node": "corner", "version": "1", "bundle": "urban-1"}
    return Figures(dict(HEALTH, **health), {"inference": {"mic": durations.summary()}}, ["mic"], labels)


def free_port():
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return trial.getsockname()[1]


@pytest.fixture
def endpoint():
    endpoint = PrometheusEndpoint("127.0.0.1:%d" % free_port(), figures)
    endpoint.mind()
    yield endpoint
    endpoint.close()


def scrape(port):
    """Samples by name; a label's value after a colon."""
    with urlopen("http://127.0.0.1:%d/metrics" % port, timeout=60) as answer:
        families = list(text_string_to_metric_families(answer.read().decode("utf-8")))
    samples = {}
    for family in families:
        assert family.documentation
        for sample in family.samples:
            samples[":".join([sample[0]] + [value for _, value in sorted(sample[1].items())])] = sample[2]
    return samples, {family.name: family.type for family in families}


def test_the_figures_of_health_in_base_units(endpoint):
    samples, types = scrape(endpoint.port)
    assert samples["soundclr_windows_total"] == 120 and types["soundclr_windows"] == "counter"
    assert samples["soundclr_lost_seconds_total"] == 1.5
    assert samples["soundclr_store_waiting"] == 4 and types["soundclr_store_waiting"] == "gauge"
    assert samples["soundclr_memory_bytes"] == 50.5e6
    assert samples["soundclr_temperature_celsius"] == 41.5
    assert samples["soundclr_throttled"] == 0
    assert samples["soundclr_info:urban-1:corner:1"] == 1
    assert samples["process_cpu_seconds_total"] > 0


def test_durations_are_a_summary_by_source(endpoint):
    samples, types = scrape(endpoint.port)
    assert types["soundclr_inference_seconds"] == "summary"
    assert samples["soundclr_inference_seconds:0.5:mic"] == pytest.approx(0.051)
    assert samples["soundclr_inference_seconds:0.99:mic"] == pytest.approx(0.1)
    assert samples["soundclr_inference_seconds_count:mic"] == 100
    assert samples["soundclr_inference_seconds_sum:mic"] == pytest.approx(5.05)


def test_every_field_of_health_has_a_metric_or_is_told_otherwise():
    values = {}
    for field in MESSAGE_TYPES["health"].fields:
        name = field.name.replace("<source>", "mic")
        values[name] = (field.choices or ("a word",))[0] if field.kind == "text" else 1
    endpoint = PrometheusEndpoint(str(free_port()), lambda: figures(**values))
    endpoint.mind()
    try:
        samples, _ = scrape(endpoint.port)
    finally:
        endpoint.close()
    own = [name for name in samples if name.startswith("soundclr_") and "inference" not in name and "info" not in name]
    told_otherwise = {
        "uptime_s",
        "cpu_ratio",
        "inference_p50_ms",
        "inference_p99_ms",
        "latency_p50_ms",
        "latency_p99_ms",
    }
    assert len(own) == len(set(values) - told_otherwise)


def test_what_is_not_known_is_left_out(endpoint):
    samples, _ = scrape(endpoint.port)
    assert not [name for name in samples if "pss" in name or "throttled_by" in name]


def test_a_client_that_says_nothing_keeps_nobody_waiting(endpoint):
    with socket.create_connection(("127.0.0.1", endpoint.port)):
        assert scrape(endpoint.port)[0]["soundclr_windows_total"] == 120


def test_a_port_that_is_taken_costs_the_figures_and_not_the_node(caplog):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        endpoint = PrometheusEndpoint("127.0.0.1:%d" % other.getsockname()[1], figures)
        endpoint.mind()
        endpoint.mind()
    assert endpoint.port == 0 and len(caplog.records) == 1
    endpoint.close()


def test_after_close_nobody_answers(endpoint):
    port = endpoint.port
    endpoint.close()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), 5).close()


@pytest.mark.parametrize(
    "text, address",
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        ("9464", ("127.0.0.1", 9464)),
        (":9464", ("127.0.0.1", 9464)),
        ("[::1]:9464", ("::1", 9464)),
        ("0.0.0.0:9464", ("0.0.0.0", 9464)),
        ("node.local:80", ("node.local", 80)),
        ("127.0.0.1", None),
        ("9464 ", None),
        ("host:99999", None),
        ("::1:9464", None),
        ("", None),
    ],
)
def test_addresses(text, address):
    assert address_from_listen(text) == address
