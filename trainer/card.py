"""A bundle's model card, written from its training record: what nobody typed nobody can have mistyped."""

from __future__ import annotations

from typing import Any

from engines.bundle import DecisionParameters

_SCORES = {
    "reject_logit": "output of foreign sound",
    "distance": "distance from the space of the trained clips (`trainer/known_space.py`)",
    "energy": "energy",
}
_STORED: dict[str, list[str]] = {
    "float32": [],
    "float16": [
        "- The weights are stored in half precision and computed with in single. The figures are those of the weights "
        "before; rounding them may move a logit by some hundredths (0.05 at most on the self-test's recording)."
    ],
}


def write_card(name: str, labels: list[str], decision: DecisionParameters, training: dict[str, Any]) -> str:
    """MODEL_CARD.md of a bundle, from its training record."""
    metrics = training["metrics"]
    lines = ["# Model card: %s" % name, "", training["description"], "", "## Data and licence", ""]
    lines += [
        "- %s" % text
        for text in [training["data"], "Licence of the weights: " + training["licence"], *training["sources"]]
    ]
    lines += [
        "",
        "## How it was trained",
        "",
        "- %s" % training["method"],
        "- Folds: %s in the shipped network; %s judged for the figures below, each left out of training; seeds: %s; %d "
        "epochs, last of a fixed schedule%s."
        % (
            training["trained_folds"],
            training["folds"],
            training["seeds"],
            training["recipe"]["epochs"],
            ", averaged weights" if training["recipe"]["ema_decay"] or training["recipe"]["average_tail"] else "",
        ),
        "- The backbone %s began with: %s." % (training["recipe"]["backbone"], training["imagenet"]),
        "- Code version: %s." % training["code_version"],
        *_STORED[training["stored_weights"]],
        "",
        "## Figures",
        "",
        training["figures_note"],
        "",
    ]
    lines += _figures(metrics) + _classes(labels, decision, metrics) + _foreign(decision, metrics)
    lines += ["", "## What it is for, and what not", ""] + ["- %s" % text for text in training["limits"]]
    return "\n".join(lines) + "\n"


def _percent(value: float) -> str:
    return "%.1f %%" % (100 * value)


def _range(interval: list[float]) -> str:
    return "%.1f to %.1f %%" % (100 * interval[0], 100 * interval[1])


def _figures(metrics: dict[str, Any]) -> list[str]:
    temperature = "before temperature: one fold alone" if metrics["calibration"] == "none" else "cross-fitted"
    rows = [
        ("Accuracy, %d clips of %d recordings" % (metrics["clips"], metrics["sources"]), _percent(metrics["accuracy"])),
        ("95 % interval by clip (Wilson)", _range(metrics["accuracy_interval_by_clip"])),
        ("95 % interval by recording (bootstrap)", _range(metrics["accuracy_interval_by_source"])),
        (
            "Accuracy by fold left out",
            ", ".join("fold %s %s" % (fold, _percent(value)) for fold, value in metrics["accuracy_by_fold"].items()),
        ),
        ("Macro F1", "%.3f" % metrics["macro_f1"]),
        ("Calibration error (equal-mass bins, debiased, %s)" % temperature, "%.3f" % metrics["calibration_error"]),
        ("NLL, Brier (%s)" % temperature, "%.3f, %.3f" % (metrics["nll"], metrics["brier"])),
    ]
    length = metrics["length"]
    if length:
        rows.append(
            (
                "Other classes called gun shot or horn: whole clips, and cut to 1.2 s",
                "%s, %s"
                % (_percent(length["called_gun_shot_or_horn_whole"]), _percent(length["called_gun_shot_or_horn_cut"])),
            )
        )
        rows.append(
            (
                "Their accuracy: whole, and cut to 1.2 s",
                "%s, %s" % (_percent(length["accuracy_whole"]), _percent(length["accuracy_cut"])),
            )
        )
    return ["| figure | value |", "|---|---|"] + ["| %s | %s |" % row for row in rows]


def _classes(labels: list[str], decision: DecisionParameters, metrics: dict[str, Any]) -> list[str]:
    lines = ["", "| class | clips | precision | recall | F1 | threshold |", "|---|---|---|---|---|---|"]
    for label in labels:
        score = metrics["by_class"][label]
        lines.append(
            "| %s | %d | %.2f | %.2f | %.2f | %.2f |"
            % (label, score["support"], score["precision"], score["recall"], score["f1"], decision.thresholds[label])
        )
    confusion = [[str(count) for count in row] for row in metrics["confusion"]]
    lines += ["", "Confusion (rows: truth; columns in the same order):", "", "```"]
    width = max(len(label) for label in labels)
    lines += [
        "%-*s %s" % (width, label, " ".join("%4s" % count for count in row))
        for label, row in zip(labels, confusion, strict=True)
    ]
    return [*lines, "```"]


def _foreign(decision: DecisionParameters, metrics: dict[str, Any]) -> list[str]:
    foreign = metrics["foreign"]
    if not foreign:
        return [
            "",
            "Foreign sound: none was judged by these runs, so that these figures do not say how well it is rejected. "
            "A window is rejected where its %s exceeds that of nine tenths of the known clips. Temperature %.3f."
            % (_SCORES[metrics["foreign_score"]], decision.temperature),
        ]
    named = ", ".join("%s %.2f" % item for item in sorted(foreign["auroc_by_category"].items()))
    return [
        "",
        "Foreign sound (categories that the judging run never saw in any role; %d clips): AUROC against known "
        "clips %.3f by %s, the runs' scores pooled%s. By category: %s. Temperature %.3f; a "
        "window is rejected from foreign = %.2f on, where a tenth of the known clips is. %s"
        % (
            foreign["clips"],
            foreign["auroc"],
            _SCORES[metrics["foreign_score"]],
            _describe_others(foreign, metrics["foreign_score"]),
            named,
            decision.temperature,
            decision.foreign.threshold,
            _describe_rejection(foreign["rejected"]),
        ),
    ]


def _describe_others(foreign: dict[str, Any], chosen: str) -> str:
    aurocs = foreign["auroc_by_score"].items()
    others = ["%.3f by %s" % (value, _SCORES[name]) for name, value in aurocs if name != chosen]
    return " (%s, on the same clips)" % ", ".join(others) if others else ""


def _describe_rejection(rejected: dict[str, float] | None) -> str:
    if rejected is None:
        return "How many foreign clips that rejects takes a second judging run to tell."
    return "Set on the other runs and judged on each, it rejects %s of the foreign clips and %s of the known." % (
        _percent(rejected["foreign"]),
        _percent(rejected["known"]),
    )
