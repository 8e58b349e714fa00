"""The ablation's table: each row's figures with intervals, and its paired difference to the reference row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from trainer.ablation.results import Result, Store
from trainer.ablation.rows import REFERENCE
from trainer.metrics import bootstrap_interval, confusion_counts, macro_f1, wilson_interval

_DRAWS = 2000
_F1_DRAWS = 500  # each counts a confusion matrix anew
_SHOWN = 7  # characters of a hash


class Answers(NamedTuple):
    """A row's answers in some runs. All arrays run over runs, and in each over the fold's clips."""

    predicted: np.ndarray  # int64 [N]
    labels: np.ndarray  # int64 [N]
    sources: list[str]
    clips: np.ndarray  # str [N]: fold and name


def build_table(store: Store, reference: str) -> dict[str, Any]:
    """All rows of all data sets that have results, the reference first.

    Accuracy is that of the last epoch; intervals draw whole recordings, with all their clips in all seeds. A
    difference is taken over the folds and seeds that both rows have, clip by clip.
    """
    by_data: dict[str, dict[str, list[Result]]] = {}
    for result in store.read():
        by_data.setdefault(result.cell.data, {}).setdefault(result.cell.row, []).append(result)
    return {
        "reference": reference,
        "epoch": "last",
        "best_epoch": "optimistic: chosen on the fold that it is judged on",
        "data": {name: _data_rows(rows, store.read_clips(name), reference) for name, rows in sorted(by_data.items())},
    }


def write_markdown(table: Mapping[str, Any]) -> str:
    """The table for people."""
    lines = []
    for name, rows in table["data"].items():
        lines += ["### %s" % name, ""]
        lines.append(
            "| row | what | folds, seeds | accuracy, %% (by recording) | macro F1 (by recording) | points against "
            "`%s` (paired, by recording) | best epoch, %% (optimistic) |" % table["reference"]
        )
        lines.append("|---|---|---|---|---|---|---|")
        lines += [_markdown_row(row) for row in rows]
        lines += ["", *_remarks(rows)]
    return "\n".join(lines).rstrip() + "\n"


def _data_rows(rows: dict[str, list[Result]], clips: dict[str, Any], reference: str) -> list[dict[str, Any]]:
    order = sorted(rows, key=lambda name: (name != reference, name))
    against = rows.get(reference)
    figures = [_row_figures(rows[name], clips, against if name != reference else None) for name in order]
    if against is None:
        return figures
    first, others = figures[0], figures[1:]
    return [first, *sorted(others, key=lambda row: -(row["difference"] or {"accuracy": -9.0})["accuracy"])]


def _row_figures(results: list[Result], clips: dict[str, Any], reference: list[Result] | None) -> dict[str, Any]:
    answers, n_labels = _join(results, clips), len(clips["labels"])
    right = (answers.predicted == answers.labels).astype(np.float64)
    n_clips = len(set(answers.clips.tolist()))
    confusion = confusion_counts(answers.predicted, answers.labels, n_labels)

    def f1(rows: np.ndarray) -> float:
        return macro_f1(confusion_counts(answers.predicted[rows], answers.labels[rows], n_labels))

    return {
        "row": results[0].cell.row,
        "text": results[0].text,
        "recipes": sorted({r.settings["recipe"]["name"] for r in results if "recipe" in r.settings}),  # begun from
        "folds": sorted({result.cell.fold for result in results}),
        "seeds": sorted({result.cell.seed for result in results}),
        "runs": len(results),
        "clips": n_clips,
        "sources": len(set(answers.sources)),
        "accuracy": {
            "value": float(right.mean()),
            "by_clip": list(wilson_interval(round(float(right.mean()) * n_clips), n_clips)),
            "by_source": _interval(lambda rows: float(right[rows].mean()), answers.sources, _DRAWS),
        },
        "macro_f1": {"value": macro_f1(confusion), "by_source": _interval(f1, answers.sources, _F1_DRAWS)},
        "difference": None if reference is None else _difference(results, reference, clips),
        "best_epoch": _best_epoch(results, clips),
        "configurations": sorted({result.configuration for result in results}),
        "code": sorted({result.code for result in results}),
        "made_with": sorted({"%s on %s" % (r.made_with["torch"], r.made_with["device"]) for r in results}),
    }


def _difference(results: list[Result], reference: list[Result], clips: dict[str, Any]) -> dict[str, Any] | None:
    """The row less the reference, on the folds and seeds that both have."""
    shared = {(r.cell.fold, r.cell.seed) for r in results} & {(r.cell.fold, r.cell.seed) for r in reference}
    if not shared:
        return None
    ours, theirs = (
        _join(sorted((r for r in rows if (r.cell.fold, r.cell.seed) in shared), key=lambda r: r.cell[2:]), clips)
        for rows in (results, reference)
    )
    n_labels = len(clips["labels"])
    gained = (ours.predicted == ours.labels).astype(np.float64) - (theirs.predicted == theirs.labels)

    def f1(rows: np.ndarray) -> float:
        one, other = (
            macro_f1(confusion_counts(said.predicted[rows], said.labels[rows], n_labels)) for said in (ours, theirs)
        )
        return one - other

    return {
        "runs": len(shared),
        "accuracy": float(gained.mean()),
        "by_source": _interval(lambda rows: float(gained[rows].mean()), ours.sources, _DRAWS),
        "macro_f1": f1(np.arange(len(gained))),
        "macro_f1_by_source": _interval(f1, ours.sources, _F1_DRAWS),
    }


def _join(results: Sequence[Result], clips: dict[str, Any]) -> Answers:
    predicted, labels, sources, names = [], [], [], []
    for result in results:
        of_fold = clips["folds"][str(result.cell.fold)]
        predicted += result.predicted
        labels += of_fold["labels"]
        sources += of_fold["sources"]
        names += ["%d/%s/%d" % (result.cell.fold, name, i) for i, name in enumerate(of_fold["names"])]
    return Answers(np.array(predicted), np.array(labels), sources, np.array(names))


def _best_epoch(results: list[Result], clips: dict[str, Any]) -> float | None:
    values = [result.best_epoch_accuracy for result in results]
    sizes = [len(clips["folds"][str(result.cell.fold)]["names"]) for result in results]
    known = [value for value in values if value is not None]
    return float(np.average(known, weights=sizes)) if len(known) == len(values) else None


def _interval(statistic: Any, sources: list[str], draws: int) -> list[float]:
    return list(bootstrap_interval(statistic, sources, draws=draws))


def _markdown_row(row: Mapping[str, Any]) -> str:
    accuracy, f1, difference = row["accuracy"], row["macro_f1"], row["difference"]
    gained = "" if difference is None else "%+.1f (%+.1f to %+.1f)" % _hundredfold(difference, "accuracy")
    best = "" if row["best_epoch"] is None else "%.1f" % (100 * row["best_epoch"])
    return "| `%s` | %s | %s; %s | %s | %s | %s | %s |" % (
        row["row"],
        row["text"] + (", `%s`" % "`, `".join(row["recipes"]) if row["row"] == REFERENCE and row["recipes"] else ""),
        ", ".join(map(str, row["folds"])),
        _describe_seeds(row),
        "%.1f (%.1f to %.1f)" % _hundredfold(accuracy, "value"),
        "%.3f (%.3f to %.3f)" % (f1["value"], *f1["by_source"]),
        gained,
        best,
    )


def _describe_seeds(row: Mapping[str, Any]) -> str:
    whole = len(row["folds"]) * len(row["seeds"])
    missing = " (%d of %d runs)" % (row["runs"], whole) if row["runs"] < whole else ""
    return ", ".join(map(str, row["seeds"])) + missing


def _hundredfold(figure: Mapping[str, Any], name: str) -> tuple[float, ...]:
    return tuple(100 * value for value in (figure[name], *figure["by_source"]))


def _remarks(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a reader must know: where it was made, and whether different code or configurations meet."""
    made = sorted({one for row in rows for one in row["made_with"]})
    codes = sorted({code for row in rows for code in row["code"]})
    lines = ["Last epoch, official folds; made with %s; code %s." % ("; ".join(made), _short(codes))]
    if len(codes) > 1:
        lines.append(
            "**Rows were made by different code**: "
            + "; ".join("`%s` %s" % (row["row"], _short(row["code"])) for row in rows)
        )
    mixed = [row for row in rows if len(row["configurations"]) > 1]
    if mixed:
        lines.append(
            "**Runs of different configurations are joined** (other options, or other data): "
            + "; ".join("`%s` %s" % (row["row"], _short(row["configurations"])) for row in mixed)
        )
    return [*lines, ""]


def _short(hashes: Sequence[str]) -> str:
    return ", ".join(one[:_SHOWN] for one in hashes)
