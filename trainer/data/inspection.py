"""Is a data set fit for use? What is wrong with its files, its classes, its folds, and what gives classes away."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from trainer.data.clip_facts import ClipFacts, gather_facts
from trainer.data.clips import Clip, Dataset
from trainer.data.shortcuts import Shortcut, find_shortcuts
from trainer.data.waveforms import MIN_CLIP_S

WRONG, NOTE = "wrong", "note"
_OFFICIAL_CLIPS = {"UrbanSound8K": 8732, "ESC-50": 2000, "ESC-10": 400}
_LOOPED_SHARE = 0.05  # of a class: from here on repetition says which class it is


class Finding(NamedTuple):
    """One thing that was found."""

    code: str  # what kind; `--accept` takes it
    severity: str  # WRONG or NOTE
    text: str  # what, and how to mend it
    clips: list[str]  # files concerned


class Inspection(NamedTuple):
    """All that is to be said of a data set before it is used."""

    dataset: Dataset
    facts: list[ClipFacts]
    findings: list[Finding]
    shortcuts: list[Shortcut]

    def wrong(self, accepted: Iterable[str] = ()) -> list[Finding]:
        """What is wrong, but for the kinds that were accepted."""
        return [one for one in self.findings if one.severity == WRONG and one.code not in set(accepted)]


def inspect(dataset: Dataset, progress: Callable[[int], None] = lambda done: None) -> Inspection:
    """Read every file and judge the data set.

    Args:
        dataset: as `list_dataset` gives it; its files need not be there.
        progress: told how many files are read.
    """
    facts = gather_facts(dataset.clips, progress)
    shortcuts = find_shortcuts(dataset.clips, facts)
    findings = [
        *_find_bad_files(dataset.clips, facts),
        *_find_class_faults(dataset, facts),
        *_find_straddling(dataset.clips),
        *_find_duplicates(dataset.clips, facts),
        *_find_loops(dataset.clips, facts),
        *_find_shortcut_faults(shortcuts),
        *_find_mixtures(dataset, facts),
    ]
    return Inspection(dataset, facts, findings, shortcuts)


def summarise(inspection: Inspection, accepted: Iterable[str] = ()) -> dict[str, Any]:
    """The inspection as JSON values."""
    accepted = sorted(accepted)
    dataset, facts = inspection.dataset, inspection.facts
    readable = [fact for fact in facts if not fact.error]
    return {
        "name": dataset.name,
        "clips": len(dataset.clips),
        "sources": len({clip.source_id for clip in dataset.clips}),
        "seconds": round(sum(fact.length_s for fact in readable), 1),
        "rates_hz": _counted(fact.rate_hz for fact in readable),
        "channels": _counted(fact.channels for fact in readable),
        "folds": _counted(clip.fold for clip in dataset.clips),
        "classes": {name: _summarise_class(inspection, name) for name in dataset.categories},
        "shortcuts": [{**one._asdict(), "works": one.works} for one in inspection.shortcuts],
        "findings": [one._asdict() for one in inspection.findings],
        "accepted": accepted,
        "fit_for_use": not inspection.wrong(accepted),
    }


def _summarise_class(inspection: Inspection, name: str) -> dict[str, Any]:
    rows = [
        (clip, fact)
        for clip, fact in zip(inspection.dataset.clips, inspection.facts, strict=True)
        if clip.category == name
    ]
    lengths = [fact.heard_s for _, fact in rows if not fact.error] or [0.0]
    return {
        "clips": len(rows),
        "sources": len({clip.source_id for clip, _ in rows}),
        "by_fold": _counted(clip.fold for clip, _ in rows),
        "heard_s": [round(float(value), 2) for value in np.percentile(lengths, [5, 50, 95])],
        "silent_end": sum(fact.tail_s > 0.02 for _, fact in rows),
        "repeating": sum(fact.period_s > 0 for _, fact in rows),
        "full_scale": sum(fact.peak >= 0.999 for _, fact in rows),
    }


def _find_bad_files(clips: list[Clip], facts: list[ClipFacts]) -> list[Finding]:
    bad = [(clip, fact) for clip, fact in zip(clips, facts, strict=True) if fact.error]
    short = [c for c, f in zip(clips, facts, strict=True) if not f.error and f.heard_s < MIN_CLIP_S]
    findings = []
    if bad:
        text = "%d files cannot be used: %s %s; mend or remove them" % (len(bad), bad[0][0].path.name, bad[0][1].error)
        findings.append(Finding("unreadable", WRONG, text, _names(clip for clip, _ in bad)))
    if short:
        text = "%d clips hold less than %.2f s of sound; training refuses them: remove them" % (len(short), MIN_CLIP_S)
        findings.append(Finding("too_short", WRONG, text, _names(short)))
    return findings


def _find_class_faults(dataset: Dataset, facts: list[ClipFacts]) -> list[Finding]:
    usable = [clip for clip, fact in zip(dataset.clips, facts, strict=True) if not fact.error]
    present = {clip.category for clip in usable}
    cells = {(clip.category, clip.fold) for clip in usable}
    empty = sorted((set(dataset.classes) | set(dataset.categories)) - present)
    gaps = [(name, fold) for name in sorted(present) for fold in dataset.folds if (name, fold) not in cells]
    findings = []
    if empty:
        text = "no usable clip of class %s; add some, or leave the class away" % ", ".join(empty)
        findings.append(Finding("class_without_clips", WRONG, text, []))
    if gaps:
        text = "no clip of %s; its figure there would say nothing: add recordings of other sources, or make fewer folds"
        listed = ", ".join("%s in fold %d" % gap for gap in gaps[:6]) + (" ..." if len(gaps) > 6 else "")
        findings.append(Finding("fold_without_class", WRONG, text % listed, []))
    if len(dataset.folds) < 2:
        text = "a single fold: nothing can be held out; leave the column fold away to have folds made by source"
        findings.append(Finding("single_fold", WRONG, text, []))
    sources = {name: {clip.source_id for clip in usable if clip.category == name} for name in sorted(present)}
    few = [name for name, ids in sources.items() if len(ids) < 3]
    if few:
        text = "fewer than three sources of %s: what is learnt may be the recording" % ", ".join(few)
        findings.append(Finding("few_sources", NOTE, text, []))
    return findings


def _find_straddling(clips: list[Clip]) -> list[Finding]:
    folds = defaultdict(set)
    for clip in clips:
        folds[clip.source_id].add(clip.fold)
    straddling = {source for source, of in folds.items() if len(of) > 1}
    if not straddling:
        return []
    text = (
        "%d sources lie in several folds, the first is %s: pieces of one recording would be trained on and tested; "
        "move each source into one fold" % (len(straddling), min(straddling))
    )
    return [Finding("straddling_source", WRONG, text, _names(c for c in clips if c.source_id in straddling))]


def _find_duplicates(clips: list[Clip], facts: list[ClipFacts]) -> list[Finding]:
    same: dict[str, list[Clip]] = defaultdict(list)
    for clip, fact in zip(clips, facts, strict=True):
        if not fact.error:
            same[fact.period_digest].append(clip)  # of one period: a loop-padded copy is a copy
    groups = [group for group in same.values() if len(group) > 1]
    harmful = [group for group in groups if len({(clip.fold, clip.category) for clip in group}) > 1]
    harmless = [group for group in groups if group not in harmful]
    findings = []
    for code, severity, chosen, text in (
        ("duplicate_across", WRONG, harmful, "the same sound lies in several folds or classes, %d times; keep one"),
        ("duplicate", NOTE, harmless, "the same sound is there twice within a fold and class, %d times"),
    ):
        if chosen:
            findings.append(Finding(code, severity, text % len(chosen), _names(c for group in chosen for c in group)))
    return findings


def _find_loops(clips: list[Clip], facts: list[ClipFacts]) -> list[Finding]:
    looped = [clip for clip, fact in zip(clips, facts, strict=True) if fact.period_s]
    if not looped:
        return []
    total, of_class = Counter(c.category for c in clips), Counter(clip.category for clip in looped)
    shares = {name: count / total[name] for name, count in of_class.items()}
    telling = {name: share for name, share in shares.items() if share > _LOOPED_SHARE}
    exact = sum(fact.exact for fact in facts)
    text = "%d clips repeat themselves to their end (%d bit for bit): %s" % (
        len(looped),
        exact,
        ", ".join("%s %.0f %%" % (name, 100 * share) for name, share in sorted(shares.items())),
    )
    if telling:
        text += "; repetition would give these classes away: cut such clips to one period"
    return [Finding("loop_padded", WRONG if telling else NOTE, text, _names(looped))]


def _find_shortcut_faults(shortcuts: list[Shortcut]) -> list[Finding]:
    findings = []
    for one in shortcuts:
        text = (
            "the %s alone names the class in %.0f %% of unseen sources' clips (classes weighed alike; %.0f to %.0f %%; "
            "guessing %.0f %%), %.2f bits of it"
            % (
                one.name,
                100 * one.balanced_accuracy,
                100 * one.interval.low,
                100 * one.interval.high,
                100 * one.chance,
                one.information_bits,
            )
        )
        if one.given_away:
            named = ", ".join("%s (%.2f)" % (name, one.auroc_by_class[name]) for name in one.given_away)
            text += ", and tells from the others (AUROC): " + named
        code = "shortcut_" + one.name.split()[0]
        if one.works:
            text += (
                "; training must not see it: the trainer strips silent ends, cuts clips and places them at random; "
                "look at what `evaluate` says of cut clips, then --accept " + code
            )
        findings.append(Finding(code, WRONG if one.works else NOTE, text, []))
    return findings


def _find_mixtures(dataset: Dataset, facts: list[ClipFacts]) -> list[Finding]:
    findings = []
    rates = {fact.rate_hz for fact in facts if not fact.error}
    if len(rates) > 1:
        text = "sampling rates from %d to %d Hz: the band that is heard differs" % (min(rates), max(rates))
        findings.append(Finding("mixed_rates", NOTE, text, []))
    official = _OFFICIAL_CLIPS.get(dataset.name)
    if official and len(dataset.clips) != official:
        text = "%d of the official %d clips: figures are not comparable with published ones"
        findings.append(Finding("partial", NOTE, text % (len(dataset.clips), official), []))
    return findings


def _names(clips: Iterable[Clip]) -> list[str]:
    return [str(clip.path) for clip in clips]


def _counted(values: Iterable[int]) -> dict[str, int]:
    return {str(value): count for value, count in sorted(Counter(values).items())}
