"""Cascade bands: between which screen scores a message is worth a deep look."""

from pathlib import Path

import numpy as np

from .bundle import Model
from .data import VALIDATION, Rows, hard_known
from .labels import INDEX

# The labels that route a message, before bands were chosen with a deep model beside.
DEFAULT = {label: (0.20, 0.80) for label in ("spam", "hate", "abuse", "purchase_intent", "support", "risk", "collab")}

# What one deep look costs, as a share of what one wrong call costs.
LOOK = 0.05


def choose(screen: np.ndarray, deep: np.ndarray, target: np.ndarray, low_cut: float, high_cut: float) -> tuple:
    """The band with the least expected cost: wrong calls, and looks. `*_cut` are the two models' thresholds."""
    wrong_screen = (screen >= low_cut) != (target > 0.5)
    wrong_deep = (deep >= high_cut) != (target > 0.5)
    best = (wrong_screen.mean(), (low_cut, low_cut))
    for low in np.arange(0.02, min(0.5, low_cut), 0.02):
        for high in np.arange(max(0.3, low_cut), 0.99, 0.02):
            sent = (screen >= low) & (screen <= high)
            cost = np.where(sent, wrong_deep, wrong_screen).mean() + LOOK * sent.mean()
            if cost < best[0] - 1e-9:
                best = (cost, (round(float(low), 2), round(float(high), 2)))
    return best[1]


def show(screen: Path, deep: Path, rows: Rows, index: np.ndarray, log):
    """Prints a `[cascade]` part chosen on validation rows, and what share it sends on."""
    index = index[rows.split[index] == VALIDATION]
    texts = [rows.text[i] for i in index]
    first, second = Model(screen), Model(deep)
    a, b = first.scores(texts), second.scores(texts)
    known = hard_known(rows)[index]
    sent = np.zeros(len(index), bool)
    print("[cascade]")
    for label in DEFAULT:
        i = INDEX[label]
        k = known[:, i]
        low, high = choose(a[k, i], b[k, i], rows.target[index][k, i], first.thresholds[i], second.thresholds[i])
        if high > low:
            print(f"{label} = [{low:.2f}, {high:.2f}]")
            sent |= (a[:, i] >= low) & (a[:, i] <= high)
    log(f"{sent.mean():.1%} of {len(index)} validation rows are sent on")
