"""What one source's thread publishes."""

import json
import threading
from pathlib import Path

import pytest

import edge
from edge.config import SHIPPED_BUNDLE, Config, ModelConfig, NodeConfig, PublishConfig, SourceConfig
from edge.listener import Listener
from edge.messages import MessageFactory
from engines.bundle import load_bundle

STREET = Path(edge.__file__).parent / "demonstration" / "street.ogg"


def hear_street(hop_s, interval_s):
    """Every classification published, and how many windows there were."""
    source = SourceConfig("street", "file", path=str(STREET), realtime=False)
    config = Config(
        NodeConfig("node"),
        (source,),
        model=ModelConfig(hop_s=hop_s),
        publish=PublishConfig(classification_interval_s=interval_s),
    )
    bundle = load_bundle(SHIPPED_BUNDLE)
    messages = []
    listener = Listener(
        config,
        source,
        bundle,
        MessageFactory("soundclr", "node", bundle.id, "boot", bundle.labels),
        "boot",
        messages.append,
        threading.Event(),
    )
    listener.start()
    assert listener.join(120.0)
    assert listener.failure is None
    published = [
        json.loads(message.payload.decode("utf-8")) for message in messages if message.topic.endswith("/classification")
    ]
    return published, listener.counts.windows


@pytest.mark.parametrize("hop_s", [0.7, 1.0])
def test_every_hop_is_published_although_hops_are_whole_frames(hop_s):
    published, windows = hear_street(hop_s, interval_s=hop_s)
    assert windows >= 100 and len(published) == windows


def test_the_interval_limits_the_rate():
    published, windows = hear_street(1.0, interval_s=5.0)
    assert windows / 5.0 <= len(published) <= windows / 5.0 + 1
