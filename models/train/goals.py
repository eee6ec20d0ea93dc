"""Held-out figures beside the goals: both halves of hate, spam at few false alarms, calibration, disguise, identity groups."""

import random
from collections import defaultdict

import numpy as np

from . import augment, functional, metrics
from .data import AUTHORED, TEST, Rows, bucket, hard_known
from .functional import PREFIX
from .labels import INDEX, LABELS
from .metrics import ece, f1
from .normalize import normalize_all

HATE, SPAM = INDEX["hate"], INDEX["spam"]


def halves(target, said) -> str:
    """Share found of the hateful half, share let pass of the other."""
    return f"{said[target > 0.5].mean():.3f} | {(~said[target < 0.5]).mean():.3f}"


def caught(target, p, most: float = 0.001) -> float:
    """Share of spam at or above the score that blocks at most this share of the rest."""
    rest = np.sort(p[target < 0.5])[::-1]
    bar = rest[int(most * len(rest))]
    return float((p[target > 0.5] > bar).mean())


# What the models are to reach; those of HateCheck and HatemojiCheck, which are not looked at here, stand for `functions`.
AIMS = {
    "functions, English: found of the hateful": "> 70, aim 90", "functions, English: let pass of the others": "> 70, aim 90",
    "authored, English: macro-F1 of six labels": "80, aim 90", "SMS spam caught at ≤ 0.1 % blocked": "93, aim 95",
    "`dynahate` accuracy": "68, aim 82", "`dynahate` F1 of hate": "72, aim 84",
    "calibration error, authored, worst of ten labels": "5, aim 3", "calibration error, public, hate": "5, aim 3",
    "disguise: fall of spam F1, mean of ways": "≤ 10, aim 4", "disguise: fall of hate F1, mean of ways": "≤ 10, aim 4",
}


def _functions(rows: Rows, index, p, threshold: float, found: dict) -> list:
    source, target = rows.source[index], rows.target[index][:, HATE]
    held = (rows.split[index] == TEST) & (rows.weight[index][:, HATE] >= 1)
    own = np.char.startswith(source.astype(str), PREFIX) & held
    lines = ["### Hate by function (our own texts, frames held out)\n",
             "Right calls at the manifest's threshold, and at 0.5.\n", "| function | rows | hateful | right | right at 0.5 |",
             "| --- | ---: | ---: | ---: | ---: |"]
    short = np.array([s.removeprefix(PREFIX) if s.startswith(PREFIX) else "" for s in source])
    english = own & (rows.lang[index] == "en")
    for name in np.unique(short[english]):
        for kind in (1, 0):
            at = english & (short == name) & (target == kind)
            if at.any():
                right = lambda t: ((p[at, HATE] >= t) == (kind == 1)).mean()
                lines.append(f"| {name} | {int(at.sum())} | {'yes' if kind else 'no'} | {right(threshold):.3f} | {right(0.5):.3f} |")
    lines += ["", "| rows | found of the hateful | let pass of the others | at 0.5: found | at 0.5: let pass |",
              "| --- | ---: | ---: | ---: | ---: |"]
    groups = {"functions, English": english, "functions, other languages": own & ~english}
    groups |= {f"`{name}`": held & (source == name) for name in ("dynahate", "hatemoji_build", "toxigen_prompts", "implicit_hate")}
    for name, at in groups.items():
        if 0 < target[at].sum() < at.sum():
            lines.append(f"| {name} ({int(at.sum())}) | {halves(target[at], p[at, HATE] >= threshold)} | "
                         f"{halves(target[at], p[at, HATE] >= 0.5)} |")
            if name == "functions, English":
                said = p[at, HATE] >= threshold
                found[f"{name}: found of the hateful"] = said[target[at] > 0.5].mean()
                found[f"{name}: let pass of the others"] = (~said[target[at] < 0.5]).mean()
    lines.append("")
    at = held & (source == "dynahate")
    if at.sum() > 100:
        said = p[at, HATE] >= threshold
        found["`dynahate` accuracy"] = (said == (target[at] > 0.5)).mean()
        found["`dynahate` F1 of hate"] = f1(target[at], said)
    return lines


def _spam(rows: Rows, index, p, threshold: float, found: dict) -> list:
    held = rows.split[index] != 0
    lines = ["### Spam\n", "| set | rows | spam | caught at ≤ 0.1 % blocked | accuracy at the threshold | ham blocked there |",
             "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for name in ("sms_spam", "youtube_spam", "smishing", AUTHORED):
        at = held & (rows.source[index] == name) & (rows.weight[index][:, SPAM] >= 1)
        t, q = rows.target[index][at, SPAM], p[at, SPAM]
        if 0 < t.sum() < len(t):
            said = q >= threshold
            if name == "sms_spam":
                found["SMS spam caught at ≤ 0.1 % blocked"] = caught(t, q)
            lines.append(f"| {name} | {len(t)} | {int(t.sum())} | {caught(t, q):.3f} | {(said == (t > 0.5)).mean():.3f} | "
                         f"{said[t < 0.5].mean():.4f} |")
    return lines + ["", "Validation and test rows; none was trained on, validation rows chose calibration. With some "
                    "hundreds of rows 0.1 % means: not one. `train left-out` leaves out whole videos, and text messages fifth by fifth.\n"]


def _calibration(rows: Rows, index, p, found: dict) -> list:
    held, known = rows.split[index] == TEST, hard_known(rows)[index]
    own = rows.source[index] == AUTHORED
    made = np.char.startswith(rows.source[index].astype(str), PREFIX)
    kinds = {"authored": own, "public": ~own & ~made, "functional": made}
    lines = ["### Expected calibration error\n", "| label | " + " | ".join(kinds) + " |", "| --- |" + " ---: |" * len(kinds)]
    for i, label in enumerate(LABELS):
        cells = []
        for name, at in kinds.items():
            at = at & held & known[:, i]
            error = ece(rows.target[index][at, i], p[at, i]) if at.sum() >= 100 else None
            cells.append("–" if error is None else f"{error:.3f}")
            if error is not None and name == "authored":
                worst = "calibration error, authored, worst of ten labels"
                found[worst] = max(found.get(worst, 0.0), error)
            if error is not None and (name, label) == ("public", "hate"):
                found["calibration error, public, hate"] = error
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return lines + [""]


def _disguise(rows: Rows, index, p, thresholds, score, most: int, found: dict) -> list:
    """F1 before and after each way of hiding, over the same rows, after serving's normalisation."""
    lines = ["### Disguise\n", "F1 of the same held-out rows, as they stand and hidden (four in five of the words of four "
             "letters or more), in serving's first reading; it also scores a second one, with hiding undone, which is not done here.\n",
             "| way | spam | change | hate | change |", "| --- | ---: | ---: | ---: | ---: |"]
    rng = np.random.default_rng(8)
    parts = {}
    for label, names in ((SPAM, ("sms_spam", "youtube_spam", AUTHORED)), (HATE, ("dynahate", "hatemoji_build"))):
        at = np.flatnonzero((rows.split[index] == TEST) & np.isin(rows.source[index], names) & (rows.weight[index][:, label] >= 1))
        parts[label] = rng.choice(at, min(most, len(at)), replace=False)
    rates = {}
    for label, at in parts.items():
        target = rows.target[index[at], label]
        if not len(at) or not target.sum():
            return []
        raw = [rows.raw[i] for i in index[at]]
        rates["as it stands", label] = f1(target, p[at, label] >= thresholds[label])
        for way, change in augment.DISGUISES.items():
            hidden = normalize_all([augment.disguise(text, change, random.Random(5)) for text in raw])
            rates[way, label] = f1(target, score(hidden)[:, label] >= thresholds[label])
    for way in ["as it stands", *augment.DISGUISES]:
        cells = [f"{100 * rates[way, k]:.1f} | {100 * (rates[way, k] - rates['as it stands', k]):+.1f}" for k in (SPAM, HATE)]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    mean = [100 * np.mean([rates[w, k] - rates["as it stands", k] for w in augment.DISGUISES]) for k in (SPAM, HATE)]
    found["disguise: fall of spam F1, mean of ways"], found["disguise: fall of hate F1, mean of ways"] = -mean[0] / 100, -mean[1] / 100
    return lines + [f"| mean | | {mean[0]:+.1f} | | {mean[1]:+.1f} |", ""]


def _groups(rows: Rows, index, p, threshold: float) -> list:
    """False alarms on neutral sentences that name a group, worst first."""
    named = {m.text: m.group for m in functional.texts(bucket) if m.function == "identity_neutral" and m.group}
    seen = defaultdict(list)
    for place, i in enumerate(index):
        if rows.source[i] == PREFIX + "identity_neutral" and rows.raw[i] in named:
            seen[named[rows.raw[i]]].append(p[place, HATE])
    lines = ["### Neutral sentences by group\n", "`identity_neutral`, frames that were not trained on: share flagged as hate "
             "at the manifest's threshold, and the mean score.\n", "| group | rows | flagged | mean score |", "| --- | ---: | ---: | ---: |"]
    order = sorted(seen.items(), key=lambda item: -np.mean(item[1]))
    for name, scores in order:
        lines.append(f"| {name} | {len(scores)} | {np.mean(np.array(scores) >= threshold):.2f} | {np.mean(scores):.2f} |")
    every = np.concatenate([np.array(s) for s in seen.values()]) if seen else np.zeros(1)
    at = (rows.source[index] == "identity_madlibs") & (rows.split[index] != 0) & (rows.target[index][:, INDEX["abuse"]] < 0.5)
    lines += ["", f"All groups: {(every >= threshold).mean():.3f} flagged."]
    if at.any():
        lines.append(f"`identity_madlibs`, kind and neutral sentences ({int(at.sum())}): {(p[at, HATE] >= threshold).mean():.3f} flagged.")
    return lines + [""]


def report(rows: Rows, index, p, thresholds, score, most: int = 800) -> str:
    """Markdown; `score` gives calibrated scores of texts."""
    found = {}
    parts = [_functions(rows, index, p, thresholds[HATE], found), _spam(rows, index, p, thresholds[SPAM], found),
             _calibration(rows, index, p, found), _disguise(rows, index, p, thresholds, score, most, found),
             _groups(rows, index, p, thresholds[HATE])]
    own = (rows.split[index] == TEST) & (rows.source[index] == AUTHORED) & (rows.lang[index] == "en")
    if own.any():
        figures = metrics.table(rows.target[index][own], hard_known(rows)[index][own], p[own], thresholds)
        found["authored, English: macro-F1 of six labels"] = metrics.headline(figures)
    lines = ["### Beside the goals\n", "In per cent, on held-out rows of our own; what follows says more.\n",
             "| figure | measured | goal |", "| --- | ---: | --- |"]
    lines += [f"| {name} | {100 * found[name]:.1f} | {aim} |" for name, aim in AIMS.items() if name in found]
    return "\n".join(lines + [""] + [line for part in parts for line in part])
