"""The report's pictures, as SVG that takes the page's own text colour, so that it reads on light and dark."""

from __future__ import annotations

import io
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from trainer.evaluate import Predictions

_INK = "#010203"  # replaced by the page's text colour; a colour that nothing else has
_BLUE, _ORANGE = "#4c8bf5", "#e8710a"  # both readable on white and on near black
_MOST_POINTS = 1500
_SHAPES = "os^Dv"
_STYLE: Any = {  # mypy would want each name as a literal
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def draw_confusion(figures: dict[str, Any]) -> str:
    """Counts by truth (rows) and answer (columns), shaded by the share of the truth."""
    counts, labels = np.array(figures["confusion"]), figures["labels"]
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    size = max(4.0, 0.5 * len(labels) + 1.5)
    with mpl.rc_context(_STYLE):
        figure, axes = _new(size, size)
        shades = np.concatenate([np.broadcast_to(mpl.colors.to_rgb(_BLUE), (*shares.shape, 3)), shares[..., None]], 2)
        axes.imshow(shades)
        for i, j in np.argwhere(counts > 0):
            axes.text(j, i, str(counts[i, j]), ha="center", va="center", fontsize=8)
        axes.set_xticks(range(len(labels)), labels, rotation=60, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(labels)), labels)
        axes.set_xlabel("answer")
        axes.set_ylabel("truth")
        axes.spines[:].set_visible(False)
        return _svg(figure, "confusion")


def draw_reliability(figures: dict[str, Any]) -> str:
    """Accuracy against confidence, bins of equally many clips, 95 % bars by clip."""
    bins = figures["calibration"]["bins"]
    confidence, right = (np.array([one[name] for one in bins]) for name in ("confidence", "accuracy"))
    low, high = (np.array([one[name] for one in bins]) for name in ("low", "high"))
    with mpl.rc_context(_STYLE):
        figure, axes = _new(4.2, 4.0)
        axes.plot([0, 1], [0, 1], "--", color=_INK, linewidth=0.8, label="as sure as right")
        bars = [np.maximum(0, right - low), np.maximum(0, high - right)]
        axes.errorbar(confidence, right, yerr=bars, fmt="o-", color=_BLUE, capsize=2, label="measured")
        axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02))
        axes.legend(loc="upper left")
        return _svg(figure, "reliability")


def draw_risk_coverage(figures: dict[str, Any]) -> str:
    """Share of wrong answers against the share of clips answered."""
    curve = np.array(figures["risk_coverage"]["curve"])
    with mpl.rc_context(_STYLE):
        figure, axes = _new(4.2, 4.0)
        axes.plot(curve[:, 0], curve[:, 1], color=_BLUE)
        axes.set(xlabel="clips answered, the surest first", ylabel="wrong among them", xlim=(0, 1), ylim=(0, None))
        return _svg(figure, "risk")


def draw_history(history: list[dict[str, float]]) -> str | None:
    """Training's means by epoch; None where none were kept."""
    names = [name for name in ("loss", "accuracy", "test_accuracy") if history and name in history[0]]
    if not names:
        return None
    with mpl.rc_context(_STYLE):
        figure, axes = _new(4.2, 4.0)
        for name, style in zip(names, ("-", "--", ":"), strict=False):
            values = [entry[name] for entry in history]
            axes.plot(range(1, len(values) + 1), values, style, color=_ORANGE if name == "loss" else _BLUE, label=name)
        axes.set(xlabel="epoch", ylim=(0, None))
        axes.legend()
        return _svg(figure, "history")


def draw_embeddings(predictions: Predictions, labels: list[str]) -> str | None:
    """Two-dimensional map of one network's embeddings (t-SNE after PCA), foreign clips as crosses; None where the run
    kept none. Distances between far groups mean nothing in such a map."""
    points = predictions.embeddings
    if points.ndim != 2 or len(points) < 10:
        return None
    chosen = np.sort(np.random.default_rng(0).permutation(len(points))[:_MOST_POINTS])
    points, truth = points[chosen].astype(np.float32), predictions.labels[chosen]
    width = min(50, *points.shape)
    reduced = PCA(width, random_state=0).fit_transform(points)
    flat = TSNE(perplexity=min(30.0, (len(points) - 1) / 3), init="pca", random_state=0).fit_transform(reduced)
    with mpl.rc_context(_STYLE):
        figure, axes = _new(7.0, 5.0)
        colours = mpl.colormaps["tab10"].colors  # type: ignore[attr-defined]  # of the listed colour maps
        for i, label in enumerate(labels):
            rows = truth == i
            shape, colour = _SHAPES[i // 10 % len(_SHAPES)], colours[i % 10]
            axes.scatter(flat[rows, 0], flat[rows, 1], s=8, marker=shape, color=colour, label=label, linewidths=0)
        if (truth < 0).any():
            axes.scatter(
                flat[truth < 0, 0], flat[truth < 0, 1], s=14, marker="x", color=_INK, label="foreign", linewidths=0.8
            )
        axes.set_xticks([])
        axes.set_yticks([])
        if len(labels) <= 20:
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), markerscale=2)
        return _svg(figure, "embeddings")


def draw_foreign(known: np.ndarray, foreign: np.ndarray) -> str:
    """How the foreignness score is spread over known and foreign clips."""
    edges = np.histogram_bin_edges(np.concatenate([known, foreign]), 40)
    with mpl.rc_context(_STYLE):
        figure, axes = _new(4.2, 4.0)
        for values, colour, label in ((known, _BLUE, "known"), (foreign, _ORANGE, "foreign")):
            axes.hist(values, edges.tolist(), density=True, color=colour, alpha=0.5, label=label)
        axes.set(xlabel="log odds of foreign", ylabel="density")
        axes.legend()
        return _svg(figure, "foreign")


def _new(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")  # no pyplot: no global state, no display
    figure.patch.set_alpha(0.0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0.0)
    return figure, axes


def _svg(figure: Figure, name: str) -> str:
    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):  # ids differ between pictures and not between runs
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    drawing = text.getvalue()
    return drawing[drawing.index("<svg") :].replace(_INK, "currentColor")
