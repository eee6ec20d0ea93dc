"""Cascade bands: between which screen scores a message is worth a deep look."""

from pathlib import Path

import numpy as np

from .bundle import Model
from .data import AUTHORED, TEST, VALIDATION, Rows, hard_known
from .evaluate import kind_of
from .labels import INDEX
from .metrics import f1

# The labels that route a message, before bands were chosen with a deep model beside.
DEFAULT = {label: (0.20, 0.80) for label in ("spam", "hate", "abuse", "purchase_intent", "support", "risk", "collab")}
ROUTED = [INDEX[label] for label in DEFAULT]

# What a deep look at every message may cost, in points of F1 summed over the labels; tried from dear to cheap.
LOOKS = (1.0, 0.7, 0.5, 0.35, 0.25, 0.18, 0.12, 0.08, 0.05, 0.03, 0.02, 0.01, 0.005)
# The fall of macro-F1 against deep alone that is accepted on validation rows.
FALL = 0.003


class Case:
    """Scores of both models on some rows. Serving compares every score with deep's thresholds."""

    def __init__(self, a, b, target, known, traffic, thresholds):
        self.a, self.b, self.target, self.known, self.traffic, self.thresholds = a, b, target, known, traffic, thresholds
        self.wrong_a = ((a >= thresholds) != (target > 0.5)) & known
        self.wrong_b = ((b >= thresholds) != (target > 0.5)) & known
        self.worth = 0.5 / np.maximum(1, (target * known).sum(0))

    def sent(self, bands: dict) -> np.ndarray:
        out = np.zeros(len(self.a), bool)
        for i, (low, high) in bands.items():
            out |= (self.a[:, i] >= low) & (self.a[:, i] <= high)
        return out

    def share(self, sent) -> float:
        """Of messages like those that a brand gets: the authored ones."""
        return float(sent[self.traffic].mean())

    def cost(self, sent, look: float) -> float:
        """Errors of both kinds as a share of a label's positives, roughly one minus F1, and the looks."""
        wrong = np.where(sent[:, None], self.wrong_b, self.wrong_a)[:, ROUTED]
        return float((wrong.sum(0) * self.worth[ROUTED]).sum() + look * self.share(sent))

    def macro(self, sent, labels=ROUTED, rows=None) -> float:
        p = np.where(sent[:, None], self.b, self.a)
        rows = np.ones(len(p), bool) if rows is None else rows
        use = [(i, rows & self.known[:, i]) for i in labels]
        return float(np.mean([f1(self.target[k, i], p[k, i] >= self.thresholds[i]) for i, k in use]))


def choose(case: Case, look: float) -> dict:
    """Bands by coordinate descent: each label's ends in turn, the others staying."""
    lows, highs = (0.01, 0.02, 0.04, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5), (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)
    bands = {}
    best = case.cost(case.sent(bands), look)
    for _ in range(3):
        before = best
        for i in ROUTED:
            rest = {k: v for k, v in bands.items() if k != i}
            others = case.sent(rest)
            tried = [(case.cost(others, look), None)]
            for low in lows:
                for high in highs:
                    if low < high:
                        mine = others | ((case.a[:, i] >= low) & (case.a[:, i] <= high))
                        tried.append((case.cost(mine, look), (low, high)))
            best, band = min(tried, key=lambda item: item[0])
            bands = rest if band is None else {**rest, i: band}
        if before - best < 1e-6:
            break
    return bands


def write(folder: Path, bands: dict):
    """Puts the bands into the manifest in place of those that are there."""
    path = folder / "manifest.toml"
    head = path.read_text(encoding="utf-8").split("[cascade]")[0].rstrip("\n")
    lines = [f"{label} = [{bands[INDEX[label]][0]:.2f}, {bands[INDEX[label]][1]:.2f}]" for label in DEFAULT if INDEX[label] in bands]
    path.write_text("\n".join([head, "", "[cascade]", *lines, ""]), encoding="utf-8")


def show(screen: Path, deep: Path, rows: Rows, index: np.ndarray, log):
    """Chooses on validation rows, writes the manifest, and prints what the cascade does on test rows."""
    first, second = Model(screen), Model(deep)
    known = hard_known(rows)[index] & (kind_of(rows.source[index]) != "functional")[:, None]
    index, known = index[known.any(1)], known[known.any(1)]
    texts = [rows.text[i] for i in index]
    a, b = first.scores(texts), second.scores(texts)
    cases = {}
    for split in (VALIDATION, TEST):
        at = rows.split[index] == split
        own = rows.source[index][at] == AUTHORED
        # Public sets speak for hate and spam; what they call support or abuse is not what a brand calls it.
        use = known[at].copy()
        use[~own] &= np.isin(np.arange(use.shape[1]), [INDEX["hate"], INDEX["spam"]])[None, :]
        cases[split] = Case(a[at], b[at], rows.target[index][at], use, own, second.thresholds)
    case, test = cases[VALIDATION], cases[TEST]
    everything = lambda c: np.ones(len(c.a), bool)
    print("| look | sent (authored, validation) | macro-F1, validation | sent, test | authored macro-F1, test | hate F1, public test |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    six = [i for i in ROUTED if i != INDEX["hate"]]

    def line(name, sent_v, sent_t):
        print(f"| {name} | {case.share(sent_v):.3f} | {case.macro(sent_v):.4f} | {test.share(sent_t):.3f} | "
              f"{test.macro(sent_t, six, test.traffic):.4f} | {test.macro(sent_t, [INDEX['hate']]):.4f} |")

    line("screen alone", ~everything(case), ~everything(test))
    taken = None
    for look in LOOKS:
        bands = choose(case, look)
        line(f"{look:g}", case.sent(bands), test.sent(bands))
        if taken is None and case.macro(case.sent(bands)) >= case.macro(everything(case)) - FALL:
            taken = (look, bands)
    line("deep alone", everything(case), everything(test))
    taken = taken or (LOOKS[-1], bands)
    write(screen, taken[1])
    log(f"look {taken[0]:g} taken: " + " ".join(f"{label} {taken[1][INDEX[label]]}" for label in DEFAULT if INDEX[label] in taken[1]))
