"""One HTML page: figures, tables and pictures, all inside, nothing fetched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jinja2

from trainer.errors import TrainerError
from trainer.report import pictures
from trainer.report.comparison import compare_subjects
from trainer.report.figures import compute_figures
from trainer.report.subject import Subject

PAGE_NAME, FIGURES_NAME = "report.html", "report.json"


def write_report(subject: Subject, folder: Path, *, against: Subject | None = None) -> dict[str, Any]:
    """Write `report.html` and `report.json`.  Returns the figures.

    Raises:
        TrainerError: the folder cannot be written, or the two subjects cannot be compared.
    """
    figures = compute_figures(subject)
    figures["comparison"] = None if against is None else compare_subjects(subject, against)
    page = _render(figures, _draw(subject, figures))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FIGURES_NAME).write_text(json.dumps(figures, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        (folder / PAGE_NAME).write_text(page, encoding="utf-8")
    except OSError as error:
        raise TrainerError("%s cannot be written (%s); give another --out" % (folder, error)) from error
    return figures


def _draw(subject: Subject, figures: dict[str, Any]) -> dict[str, str]:
    first = subject.runs[0]
    n_known = len(subject.known.labels)
    drawn = {
        "Confusion": pictures.draw_confusion(figures),
        "Reliability": pictures.draw_reliability(figures),
        "Risk and coverage": pictures.draw_risk_coverage(figures),
        "Training of %s" % first.path.name: pictures.draw_history(first.history),
        "Embeddings of %s (t-SNE; distances between far groups mean nothing)" % first.path.name: (
            pictures.draw_embeddings(first.predictions, subject.labels)
        ),
    }
    if figures["foreign"]:
        scores = next(iter(subject.foreign_scores.values()))
        drawn["Foreign sound"] = pictures.draw_foreign(scores[:n_known], scores[n_known:])
    return {title: drawing for title, drawing in drawn.items() if drawing is not None}


def _render(figures: dict[str, Any], drawings: dict[str, str]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["percent"] = lambda value: "%.1f %%" % (100 * value)
    environment.filters["range"] = lambda low_high: "%.1f to %.1f %%" % (100 * low_high[0], 100 * low_high[1])
    environment.filters["span"] = lambda low_high: "%.3f to %.3f" % tuple(low_high)
    environment.filters["number"] = lambda value: "%.3f" % value
    return environment.get_template("page.html.j2").render(figures=figures, drawings=drawings) + "\n"
