"""Calibrates a model folder on validation rows and measures it on held-out rows."""

import numpy as np

from .data import AUTHORED, OWN, TEST, VALIDATION, Rows, hard_known
from .functional import PREFIX
from .labels import INDEX, LABELS
from .metrics import auc, expected_threshold, headline, markdown, platt, sigmoid, table

# What calibrates a label beside authored validation rows, and how heavily against them: authored rows hold no hate,
# so public sets and the functional texts carry that label.
SHARES = {"hate": {"authored": 0.5, "public": 1.0, "functional": 1.0}}
# `screen` tells hate so much worse that authored rows must say more for its scores of a brand's messages to hold.
SCREEN_SHARES = {"hate": {"authored": 2.0, "public": 1.0, "functional": 1.0}}


def kind_of(source: np.ndarray) -> np.ndarray:
    return np.array(["functional" if s.startswith(PREFIX) else "authored" if s in (AUTHORED, OWN) else "public" for s in source])


def calibrate(rows: Rows, split: np.ndarray, logits: np.ndarray, index: np.ndarray, shares: dict = SHARES):
    """Platt scale and bias, and the threshold, for each label, from validation rows."""
    known, target, kind = hard_known(rows)[index], rows.target[index], kind_of(rows.source[index])
    scale, bias, thresholds = [], [], []
    for i, label in enumerate(LABELS):
        weight = np.zeros(len(index))
        for name, share in shares.get(label, {"authored": 1.0}).items():
            at = (split == VALIDATION) & known[:, i] & (kind == name)
            weight[at] = 1.0 if label not in shares else share * 1000 / max(1, at.sum())
        use = weight > 0
        a, b = platt(logits[use, i], target[use, i], weight[use])
        p = sigmoid(a * logits[use, i] + b)
        scale.append(a)
        bias.append(b)
        # By the F1 of hate alone, plain mentions of groups were called hate too often.
        thresholds.append(expected_threshold(p, weight[use], both=label == "hate"))
    return np.array(scale), np.array(bias), np.array(thresholds)


def report(rows: Rows, index: np.ndarray, p: np.ndarray, thresholds: np.ndarray) -> tuple[str, dict]:
    """Markdown with per-label, per-language and per-source results on the test split, and the figures."""
    known, target = hard_known(rows)[index], rows.target[index]
    source, lang = rows.source[index], rows.lang[index]
    held = rows.split[index] == TEST
    own = held & (source == AUTHORED)
    main = table(target[own], known[own], p[own], thresholds)
    parts = [f"### Authored, held out ({int(own.sum())} messages)\n",
             f"Macro-F1 over purchase_intent, support, spam, abuse, risk, collab: **{headline(main):.3f}**. "
             "`hate` has no positives here; its row shows false alarms only (share of rows flagged: "
             f"{main['hate']['fpr']:.3f}).\n" if "hate" in main else "", markdown(main), "",
             "### Authored, held out, by language\n",
             "| language | messages | macro-F1 (six labels) | " + " | ".join(LABELS[:1] + LABELS[2:7]) + " |",
             "| --- |" + " ---: |" * 8]
    figures = {"authored": main, "headline": headline(main), "languages": {}, "sources": {}}
    for code in np.unique(lang[own]):
        at = own & (lang == code)
        t = table(target[at], known[at], p[at], thresholds)
        figures["languages"][str(code)] = headline(t)
        parts.append(f"| {code} | {int(at.sum())} | {headline(t):.3f} | "
                     + " | ".join(f"{t[label]['f1']:.2f}" for label in LABELS[:1] + LABELS[2:7]) + " |")
    parts += ["", "### Public sets, held out\n",
              "One threshold for all. AUC does not depend on it.\n",
              "| set | label | rows | positives | precision | recall | F1 | AUC | flagged among 0 |",
              "| --- | --- |" + " ---: |" * 7]
    for name in np.unique(source[held]):
        if name == AUTHORED or name.startswith(PREFIX):
            continue
        at = held & (source == name)
        for label, row in table(target[at], known[at], p[at], thresholds).items():
            if row["n"] < 20:
                continue
            figures["sources"][f"{name}/{label}"] = row
            number = lambda v: "–" if v != v else f"{v:.3f}"
            parts.append(f"| {name} | {label} | {row['n']} | {row['pos']} | {row['p']:.3f} | {row['r']:.3f} | "
                         f"{row['f1']:.3f} | {number(row['auc'])} | {row['fpr']:.3f} |")
    both = []
    for name in np.unique(source[held]):
        at = held & (source == name) & known[:, INDEX["hate"]]
        if kind_of(np.array([name]))[0] == "public" and 20 <= at.sum() and 10 <= target[at, INDEX["hate"]].sum() < at.sum() - 10:
            both.append(auc(target[at, INDEX["hate"]], p[at, INDEX["hate"]]))
    figures["hate_auc"] = float(np.mean(both)) if both else float("nan")
    parts += ["", f"Mean AUC of `hate` over the public sets that hold both classes: **{figures['hate_auc']:.3f}**.", ""]
    return "\n".join(parts), figures
