"""Calibration (Platt), thresholds and held-out figures on partial multi-label rows."""

import numpy as np

from .labels import HEADLINE, LABELS


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-np.clip(x, -60, 60)))


def logit(p):
    """The inverse of `sigmoid`, finite at 0 and 1."""
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.log(p / (1 - p))


def platt(logits, target, weight=None, rounds: int = 100) -> tuple[float, float]:
    """Scale and bias that make sigmoid(scale * logit + bias) a probability (Newton's method, smoothed targets)."""
    weight = np.ones_like(logits) if weight is None else weight
    positives, negatives = (weight * target).sum(), (weight * (1 - target)).sum()
    if positives < 3 or negatives < 3:
        return 1.0, 0.0
    goal = np.where(target > 0.5, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    x = np.stack([logits, np.ones_like(logits)], 1).astype(np.float64)
    beta, damp = np.array([0.5, 0.0]), 1e-3

    def cost(b):
        z = x @ b
        return float((weight * (np.logaddexp(0, z) - goal * z)).sum() + 5e-4 * ((b[0] - 1) ** 2 + b[1] ** 2))

    for _ in range(rounds):
        p = sigmoid(x @ beta)
        gradient = x.T @ (weight * (p - goal)) + 1e-3 * np.array([beta[0] - 1, beta[1]])
        hessian = (x * (weight * p * (1 - p))[:, None]).T @ x + 1e-3 * np.eye(2)
        step = np.linalg.solve(hessian + damp * np.diag(np.diag(hessian)), gradient)
        if cost(beta - step) <= cost(beta):
            beta, damp = beta - step, damp / 3
            if np.abs(step).max() < 1e-8:
                break
        else:
            damp = damp * 10
            if damp > 1e12:
                break
    return float(max(beta[0], 1e-3)), float(beta[1])


def f1(target, said, weight=1.0) -> float:
    hit = float((weight * target * said).sum())
    return 2 * hit / max(1e-9, float((weight * target).sum() + (weight * said).sum()))


def best_threshold(target, p, weight=1.0) -> float:
    """The threshold with the highest F1, taken from the middle of its plateau's neighbours."""
    grid = np.arange(0.10, 0.91, 0.01)
    scores = np.array([f1(target, p >= t, weight) for t in grid])
    smooth = np.convolve(np.pad(scores, 3, mode="edge"), np.ones(7) / 7, mode="valid")
    return float(round(grid[int(smooth.argmax())], 2))


def expected_threshold(p, weight=None, both: bool = False) -> float:
    """The threshold with the highest F1 if the probabilities are right: half of that F1. It needs no labels, and so follows no
    noise in them; the best threshold on a thousand rows was worse on others. With `both` it is the mean of that F1 and of the one
    of calls against the label that is highest."""
    if not len(p):
        return 0.5
    order = np.argsort(-p)
    w = (np.ones_like(p) if weight is None else weight)[order]
    hit, called = np.cumsum(w * p[order]), np.cumsum(w)
    found = hit / (called + hit[-1])
    if both:
        rest = called[-1] - hit[-1]
        let_pass = rest - (called - hit)
        threshold = p[order][np.argmax(found + let_pass / np.maximum(called[-1] - called + rest, 1e-9))]
    else:
        threshold = found.max()
    return float(round(np.clip(threshold, 0.1, 0.9), 2))


def auc(target, score) -> float:
    positives, negatives = int(target.sum()), int((1 - target).sum())
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((rank[target > 0.5].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def ece(target, p, bins: int = 10) -> float:
    """Expected calibration error with equal-width bins."""
    slot = np.minimum((p * bins).astype(int), bins - 1)
    return float(sum(abs(target[slot == b].mean() - p[slot == b].mean()) * (slot == b).mean()
                     for b in range(bins) if (slot == b).any()))


def table(target, known, p, thresholds) -> dict:
    """Per label: rows, positives, precision, recall, F1, AUC, ECE."""
    out = {}
    for i, label in enumerate(LABELS):
        k = known[:, i]
        if not k.any():
            continue
        t, q = target[k, i], p[k, i]
        said = q >= thresholds[i]
        hit = float((t * said).sum())
        out[label] = {
            "n": int(k.sum()), "pos": int(t.sum()), "p": hit / max(1, said.sum()), "r": hit / max(1, t.sum()),
            "f1": f1(t, said), "auc": auc(t, q), "ece": ece(t, q),
            "fpr": float(((1 - t) * said).sum() / max(1, (1 - t).sum())),
        }
    return out


def headline(figures: dict) -> float:
    return float(np.mean([figures[label]["f1"] for label in HEADLINE if label in figures]))


def markdown(figures: dict, columns=("n", "pos", "p", "r", "f1", "auc", "ece")) -> str:
    lines = ["| label | " + " | ".join(columns) + " |", "| --- |" + " ---: |" * len(columns)]
    for label, row in figures.items():
        cells = [str(row[c]) if c in ("n", "pos") else ("–" if np.isnan(row[c]) else f"{row[c]:.3f}") for c in columns]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
