"""What `watch` shows: a live picture by rich, or plain lines."""

import datetime as dt
import re
from typing import Any, Optional, Tuple

from edge.watch_model import EventSeen, NodeSeen, SourceSeen, Update, WatchModel

_BAR_CELLS = 24
_EVENTS_SHOWN = 10
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


def event_line(update: Update) -> Optional[str]:
    """One line for an event's start or end, or for a message that could not be read; None for the rest."""
    if update.kind == "rubbish":
        return "unreadable message: %s" % plain(update.detail)
    event = update.event
    if event is None or update.kind not in ("event_start", "event_end"):
        return None
    late = " (late)" if event.replayed else ""
    where = "%s/%s" % (plain(event.node), plain(event.source))
    if update.kind == "event_start":
        return "%s  %s  %s begins%s" % (_local_time(event.start_ms), where, plain(event.label), late)
    return "%s  %s  %s ends after %.1f s (%s, score %.2f%s)%s" % (
        _local_time(event.start_ms),
        where,
        plain(event.label),
        event.duration_s,
        plain(event.end_reason or ""),
        event.score_max,
        ", " + event.levels.text if event.levels is not None else "",
        late,
    )


def status_line(model: WatchModel, node_name: str, source_name: str) -> str:
    """One line about one source."""
    node = model.nodes[node_name]
    source = node.sources[source_name]
    where = "%s/%s %s" % (plain(node_name), plain(source_name), _state_of(node, source))
    if source.levels is not None:
        where += " " + source.levels.text
    if source.label is None:
        return "%s: %s" % (where, plain(source.reason or "nothing heard yet"))
    verdict = "accepted" if source.accepted_label else plain(source.reason or "not accepted")
    return "%s: %s %.2f, foreign %s (%s)" % (
        where,
        plain(source.label),
        source.scores.get(source.label, 0.0),
        _number(source.foreign, "%.2f"),
        verdict,
    )


def render(model: WatchModel, notice: str = "") -> Any:
    """The whole picture as something rich can print."""
    from rich.console import Group
    from rich.text import Text

    parts = []
    for node_name in sorted(model.nodes):
        node = model.nodes[node_name]
        parts.append(_node_text(node_name, node))
        for source_name in sorted(node.sources):
            source = node.sources[source_name]
            parts.append(Text("  %s %s  %s" % (plain(source_name), _state_of(node, source), _now_of(source))))
            parts.append(_source_table(source))
    if not model.nodes:
        parts.append(Text("no node heard of yet", style="dim"))
    parts.append(_events_table(model))
    footer = "%d messages" % model.messages
    if model.rubbish:
        footer += ", %d unreadable (last on %s)" % (model.rubbish, plain(model.last_rubbish))
    parts.append(Text("%s  %s" % (plain(notice), footer), style="dim"))
    return Group(*parts)


def plain(text: str) -> str:
    """Strangers' text on our terminal: no control characters, no endless lines."""
    return _CONTROL.sub("?", text)[:200]


def _node_text(name: str, node: NodeSeen) -> Any:
    from rich.text import Text

    text = Text(plain(name), style="bold")
    text.append("  %s" % (node.status or "unknown"), style="green" if node.status == "online" else "red")
    if node.info.get("site"):
        text.append("  %s" % plain(str(node.info["site"])), style="dim")
    text.append("  %s" % _health_of(node), style="dim")
    return text


def _source_table(source: SourceSeen) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 1))
    for label, score in source.scores.items():
        sounding = label in source.active or label == source.accepted_label
        table.add_row(
            Text(plain(label), style="bold" if sounding else ""),
            Text(_bar(score), style="green" if sounding else "blue"),
            Text("%.2f" % score),
        )
    if source.foreign is not None:
        table.add_row(
            Text("foreign", style="dim"),
            Text(_bar(source.foreign), style="dim"),
            Text("%.2f" % source.foreign, style="dim"),
        )
    return table


def _events_table(model: WatchModel) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 1))
    for event in reversed(list(model.events)[-_EVENTS_SHOWN:]):
        style = "bold green" if event.end_reason is None else ""
        table.add_row(*[Text(cell, style=style) for cell in _event_cells(event)])
    return table


def _event_cells(event: EventSeen) -> Tuple[str, ...]:
    lasted = "%.1f s" % event.duration_s if event.end_reason else "sounding"
    return (
        _local_time(event.start_ms),
        "%s/%s" % (plain(event.node), plain(event.source)),
        plain(event.label),
        lasted,
        "%.2f" % event.score_max,
        event.levels.text if event.levels is not None else "",
        "late" if event.replayed else "",
    )


def _state_of(node: NodeSeen, source: SourceSeen) -> str:
    if node.status != "online":
        return "(node %s)" % (node.status or "unknown")
    return "(%s)" % (source.status or "unknown")


def _now_of(source: SourceSeen) -> str:
    levels = [seen.text for seen in (source.levels, source.minute) if seen is not None]
    levels = levels or ["%s dBFS" % _number(source.level_dbfs, "%.0f")]
    return "  ".join([plain(source.accepted_label or source.reason or "")] + levels)


def _health_of(node: NodeSeen) -> str:
    health = node.health
    if not health:
        return ""
    return "up %s s, %s windows, %s gaps, %s waiting to be sent" % tuple(
        plain(str(health.get(name, "?"))) for name in ("uptime_s", "windows", "gaps", "store_waiting")
    )


def _bar(ratio: float) -> str:
    return "\u2588" * int(round(ratio * _BAR_CELLS)) or "\u2581"


def _number(value: Optional[float], form: str) -> str:
    return "-" if value is None else form % value


def _local_time(time_ms: Optional[int]) -> str:
    try:
        return dt.datetime.fromtimestamp((time_ms or 0) / 1000.0).strftime("%H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return "--:--:--"
