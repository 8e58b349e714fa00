"""The files of systemd/dashboards on what they are made for: a real broker, a real Node-RED, a real InfluxDB.

Telegraf and Grafana cannot be had where these tests run: Telegraf's configuration is held against the options that its
documentation names and against the definition of the messages; Grafana's dashboard against its own types, and its
panels by asking InfluxDB what they ask.
"""

import csv
import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

from edge.message_fields import COMMON_FIELDS
from edge.message_types import MESSAGE_TYPES
from tests.dashboards.servers import DASHBOARDS, Influx, NodeRed
from tests.edge.socket_broker import wait_until
from tests.system.broker_fixtures import Mosquitto, skip_without_mosquitto
from tests.system.browser import Publisher
from tests.system.page_scene import UNCALIBRATED, Corner

pytestmark = pytest.mark.system
HOUR_S = 3600.0
DASHBOARD_TYPE = Path(__file__).resolve().parent / "dashboard_type.ts"
TYPES = DASHBOARD_TYPE.parent / "node_modules"


class Broker(Mosquitto):
    def subscriptions_seen(self):
        """Topics that readers asked for so far, by the broker's log."""
        return len(re.findall(r"^\d+: \t?soundclr/\S+ \(QoS", self.log(), re.MULTILINE))


@pytest.fixture
def influx(tmp_path):
    folder = tmp_path / "influx"
    folder.mkdir()
    database = Influx(folder)
    database.prepare()
    yield database
    database.close()


@pytest.fixture
def table(tmp_path):
    return tmp_path / "table" / "events.csv"


@pytest.fixture
def publisher(influx, tmp_path, table):
    """Publishes to a broker that Node-RED reads."""
    skip_without_mosquitto()
    for name in ("broker", "node-red"):
        (tmp_path / name).mkdir()
    broker = Broker(tmp_path / "broker")
    broker.write_settings(options=["log_type all"])
    with broker:
        node_red = NodeRed(tmp_path / "node-red", broker, influx.url, table)
        sender = Publisher(broker)
        sender.node_red = node_red
        yield sender
        sender.close()
        node_red.close()


def publish_city(publisher, now_s):
    """Two calibrated corners and one that is not, two hours of minutes, some events, a day."""
    corners = [Corner("harbour"), Corner("market", ("east", "west")), Corner("bare", calibration=UNCALIBRATED)]
    first_s = now_s // HOUR_S * HOUR_S - HOUR_S
    for number, corner in enumerate(corners):
        publisher.send(corner.status(), corner.health(now_s - 5), corner.health(now_s - 2, store_waiting=number))
        for source in corner.sources:
            publisher.send(corner.status(source=source), corner.state(now_s - 1, ["siren"], source))
            for minute in range(30):
                start_s = first_s + 60 * minute
                laeq = 60.0 + number + minute / 10
                publisher.send(
                    corner.summary(start_s, laeq, laeq + 3, laeq - 2, laeq - 8, laeq + 15, source, seconds_siren=6.0)
                )
            publisher.send(corner.level(now_s - 2, 61.5, source), corner.level(now_s - 1, None, source))
            publisher.send(corner.classification(now_s - 1, {"siren": 0.8}, source, accepted="siren"))
            event_id = "%s-%s" % (corner.node, source)
            for phase, late in (("start", False), ("end", False), ("end", True)):
                end_s = now_s - 60 if phase == "end" else now_s - 74
                publisher.send(
                    corner.event(event_id, phase, "siren", now_s - 74, end_s, source, replayed=late)
                )  # the second end is a repetition
    day = {name + end: level for name, level in (("lden", 63.4), ("lnight", 55.1)) for end in ("_db", "_dbfs")}
    publisher.send(
        corners[0].summary(
            now_s - 86400,
            60.0,
            63.0,
            58.0,
            50.0,
            80.0,
            kind="summary_day",
            length_s=86400.0,
            local_date="2026-11-22",
            **day,
        )
    )


def count(influx, measurement, where=""):
    found = influx.query("SELECT count(*) FROM %s %s" % (measurement, where))
    counts = found[0][2][0].items() if found else []
    return max((value for name, value in counts if name != "time" and value is not None), default=0)


def test_node_red_delivers_every_message_once_into_influxdb_and_the_table(influx, publisher, table):
    now_s = time.time()
    publish_city(publisher, now_s)
    again = Corner("harbour").event("again", "end", "siren", now_s - 200, now_s - 190, replayed=True)
    publisher.send(again, again)  # as QoS 1 may
    publisher.send_raw("soundclr/harbour/mic/event", b"{rubbish")
    publisher.send_raw("soundclr/harbour/mic/event", b'{"ts_ms": 5, "type": "x y", "v": 1}')
    publisher.send_raw("soundclr/harbour/mic/level", b"null")
    wanted = {
        '"soundclr_summary"': 4 * 30, '"soundclr_event"': 9, '"soundclr_summary_day"': 1, '"live"."soundclr_level"': 8,
        '"live"."soundclr_classification"': 4, '"live"."soundclr_state"': 4, '"live"."soundclr_health"': 6,
        '"live"."soundclr_status"': 7,
    }  # fmt: skip
    assert wait_until(lambda: {name: count(influx, name) for name in wanted} == wanted, 60), (
        {name: count(influx, name) for name in wanted},
        publisher.node_red.log(),
    )
    ((_, _, rows),) = influx.query(
        'SELECT * FROM "soundclr_event" WHERE "phase" = \'end\' AND "node" = \'market\' AND "source" = \'west\''
    )
    (row,) = rows
    assert row["time"] == round((now_s - 60) * 1000) and row["label"] == "siren" and row["calibrated"] is True
    assert (row["laeq_db"], row["lafmax_db"], row["duration_s"]) == (71.2, 83.0, 14.0)
    ((_, _, rows),) = influx.query('SELECT * FROM "live"."soundclr_level" WHERE "node" = \'bare\'')
    assert [row["laeq_dbfs"] for row in rows] == [-56.5, None]  # null stays null
    assert [row["laeq_db"] for row in rows] == [None, None]
    table_rows = list(csv.reader(table.read_text(encoding="utf-8").splitlines()))
    assert len(table_rows) == 9  # four ends, the four that were sent anew, and one that came twice
    assert table_rows[0][2:10] == ["harbour", "mic", "siren", "14", "71.2", "83.0", "58.4", "dB(A)"]
    assert sorted({row[9] for row in table_rows}) == ["dB(A)", "dBFS"]
    log = publisher.node_red.log()
    assert "siren, 14 s, LAeq 71.2 dB(A), LAFmax 83.0 at harbour, mic" in log
    assert "InfluxDB answers" not in log and "[error]" not in log, log


GRAFANA_VARIABLES = {"node": ".*", "source": ".*", "scale": "db"}


def questions_of(dashboard):
    """All that the dashboard asks of InfluxDB: (where, query)."""
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["query"]
    for annotation in dashboard["annotations"]["list"]:
        yield "annotation " + annotation["name"], annotation["target"]["query"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield "variable " + variable["name"], variable["query"]


def as_grafana_asks(query, **variables):
    """With Grafana's variables and macros filled in."""
    for name, value in dict(GRAFANA_VARIABLES, **variables).items():
        query = re.sub(r"\$\{%s(:\w+)?\}" % name, value, query)
    query = query.replace("$timeFilter", "time >= now() - 25h").replace("$__interval", "1m")
    assert "$" not in query.replace("$/", "/"), query
    return query


def line_from(topic, payload):
    """What the flow's function makes of one message; None where it makes nothing."""
    if shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    flow = json.loads((DASHBOARDS / "node-red-flow.json").read_text(encoding="utf-8"))
    (function,) = (node["func"] for node in flow if node.get("name") == "to line protocol")
    program = "const made = new Function('msg', 'node', 'env', %s)(%s, {status() {}}, {get() {}});" % (
        json.dumps(function),
        json.dumps({"topic": topic, "payload": payload}),
    )
    program += "console.log(JSON.stringify(made && (made[0] || made[1]).payload));"
    return json.loads(subprocess.run(["node", "-e", program], check=True, timeout=60, stdout=subprocess.PIPE).stdout)


def test_no_stranger_s_message_becomes_another_point():
    event = {"type": "event", "ts_ms": 1000, "node": "harbour", "source": "mic", "label": "siren", "phase": "end"}
    event.update(duration_s=2.5, end_reason="quiet", replayed=False, score_max=None)
    known = line_from("soundclr/harbour/mic/event", json.dumps(event))
    assert known == (
        "soundclr_event,node=harbour,source=mic,label=siren,phase=end "
        'duration_s=2.5,end_reason="quiet",replayed=false 1000'
    )
    forged = "x duration_s=1 5\nsoundclr_event,node=market duration_s=9 6"
    for name in ("node", "source", "label", "phase"):
        for value in (forged, "back\\", "a" * 100, 5, {}):
            assert line_from("soundclr/harbour/mic/event", json.dumps(dict(event, **{name: value}))) is None
    assert line_from("soundclr/%s/status" % forged, "online") is None
    for more in ({forged: 1}, {"loud": float("1e999")}):
        text = json.dumps(dict(event, **more)).replace("Infinity", "1e999")
        assert line_from("soundclr/harbour/mic/event", text) == known
    text = line_from("soundclr/harbour/mic/event", json.dumps(dict(event, end_reason='"' + forged)))
    assert text.count("\n") == 0 and text.startswith(known.split(" ")[0])


def test_every_panel_of_the_grafana_dashboard_gets_an_answer(influx, publisher):
    now_s = time.time()
    publish_city(publisher, now_s)
    assert wait_until(lambda: count(influx, '"soundclr_summary_day"') == 1, 60), publisher.node_red.log()
    dashboard = json.loads((DASHBOARDS / "grafana-dashboard.json").read_text(encoding="utf-8"))
    asked = dict(questions_of(dashboard))
    assert len(asked) == len(list(questions_of(dashboard))) == 16
    silent = [where for where, query in asked.items() if not influx.query(as_grafana_asks(query))]
    assert silent == ["Bandwidth"]  # these microphones hear to 16 kHz
    assert [tags for _, tags, _ in influx.query(as_grafana_asks(asked["Valid sound"], node="market|bare"))] == [
        {"node": "bare", "source": "mic"}, {"node": "market", "source": "east"}, {"node": "market", "source": "west"},
    ]  # fmt: skip
    last = influx.query(as_grafana_asks(asked["LAeq of the last minute, ${scale:text}"]))
    assert {(tags["node"], rows[0]["last"]) for _, tags, rows in last} == {("harbour", 62.9), ("market", 63.9)}
    ((_, _, (counted,)),) = influx.query(as_grafana_asks(asked["Events"]))
    assert counted["count"] == 4
    classes = influx.query(as_grafana_asks(asked["Seconds of each class an hour"], node="harbour"))
    assert [row["sum_seconds_siren"] for _, _, rows in classes for row in rows] == [180.0]
    ((_, _, (day,)),) = influx.query(as_grafana_asks(asked["Lden and its parts, ${scale:text}"]))
    assert (day["Lden"], day["Lnight"], day["Lday"]) == (63.4, 55.1, None)


def test_the_dashboard_asks_for_fields_that_messages_have():
    dashboard = json.loads((DASHBOARDS / "grafana-dashboard.json").read_text(encoding="utf-8"))
    for where, query in questions_of(dashboard):
        kind = re.search(r'"soundclr_(\w+)"', query).group(1)
        known = {field.name for field in COMMON_FIELDS + MESSAGE_TYPES[kind].fields}
        selected = re.sub(r' AS "[^"]+"', "", query.split(" FROM ")[0])
        for name in re.findall(r'"([^"]+)"', selected):
            names = {name.replace("${scale}", scale) for scale in ("db", "dbfs")}
            assert names <= known | {"value"}, (where, name)  # a status is a bare word
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids) and dashboard["schemaVersion"] >= 36 and "id" not in dashboard
    cells = [(x, y) for panel in dashboard["panels"] for x, y in cells_of(panel["gridPos"])]
    assert len(set(cells)) == len(cells) and max(x for x, _ in cells) < 24


def cells_of(place):
    return [(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])]


@pytest.mark.parametrize("wrong", ["", "gridPosition"])
def test_grafana_s_own_types_know_all_that_the_dashboard_says(tmp_path, wrong):
    """Its compiler finds nothing; and does find a name that Grafana does not know."""
    compiler = TYPES / "typescript" / "bin" / "tsc"
    if shutil.which("node") is None or not compiler.exists():
        pytest.skip(
            "Grafana's types are not installed: .ci/install-node-packages tests/dashboards (Node.js 18 or later)"
        )
    (tmp_path / "node_modules").symlink_to(TYPES)
    shutil.copy(DASHBOARD_TYPE, tmp_path)
    text = (DASHBOARDS / "grafana-dashboard.json").read_text(encoding="utf-8")
    text = text.replace("gridPos", wrong) if wrong else text
    head = 'import type { StreetDashboard } from "./dashboard_type";\nexport const dashboard: StreetDashboard = '
    (tmp_path / "check.ts").write_text(head + text, encoding="utf-8")
    options = ["--noEmit", "--strict", "--skipLibCheck", "--moduleResolution", "bundler", "--module", "esnext"]
    command = ["node", str(compiler), *options, "--target", "es2022", "check.ts"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert (found.returncode == 0) == (wrong == ""), found.stdout
    assert wrong in found.stdout


def test_the_flow_takes_every_message_but_info_and_check_and_durable_ones_at_qos_1():
    flow = json.loads((DASHBOARDS / "node-red-flow.json").read_text(encoding="utf-8"))
    read = {node["topic"]: int(node["qos"]) for node in flow if node["type"] == "mqtt in"}
    (line,) = (node["func"] for node in flow if node["id"] == "soundclr-line")
    for kind, message in MESSAGE_TYPES.items():
        topic = re.sub("<node>|<source>", "x", message.topic.replace("<root>", "soundclr"))
        taken = [qos for one, qos in read.items() if mqtt.topic_matches_sub(one, topic)]
        assert len(taken) == (0 if kind in ("info", "check") else 1), kind
        if message.durable:
            assert taken == [1] and '"%s"' % kind in line
