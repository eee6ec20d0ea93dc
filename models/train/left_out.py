"""Spam where a part of a set is left out and nothing of it taught: YouTube video by video, text messages fifth by fifth."""

import gzip
import json
from pathlib import Path

import numpy as np

from . import evaluate, screen
from .data import TEST, TRAIN, VALIDATION, Rows, bucket
from .goals import caught
from .labels import INDEX
from .metrics import sigmoid

SPAM = INDEX["spam"]
# A label that is known at least weakly teaches.
KNOWN = 0.3


def some(rows: Rows, at: np.ndarray) -> Rows:
    """The rows at `at`."""
    pick = lambda column: column[at] if isinstance(column, np.ndarray) else [column[i] for i in at]
    return Rows(**{name: pick(column) for name, column in vars(rows).items()})


def without(rows: Rows, held: np.ndarray, tokenizer, smoke: bool, log) -> tuple[np.ndarray, float]:
    """Probabilities of spam for the rows `held`, of a screen that learned from the others' labels, and its threshold."""
    shape = screen.Shape(pieces=tokenizer.get_vocab_size(), epochs=1 if smoke else 6)
    made = screen.training_set(rows, tokenizer, shape)
    net, pairs = screen.learn(made, tokenizer, shape, not smoke, log)
    index = np.concatenate([np.flatnonzero(rows.split == VALIDATION), held])
    packed = screen.Packed(*screen.encode(tokenizer, [rows.text[i] for i in index]))
    logits = screen.logits_of(net, packed) + pairs.said(packed.ids, packed.length)
    scale, bias, thresholds = evaluate.calibrate(rows, rows.split[index], logits, index, evaluate.SCREEN_SHARES)
    return sigmoid(logits[-len(held) :] * scale + bias)[:, SPAM], thresholds[SPAM]


def parts_of(rows: Rows, root: Path) -> dict:
    """For each set, the part that each row belongs to; empty where it is of another set."""
    with gzip.open(root / "train" / "youtube_spam.jsonl.gz", "rt", encoding="utf-8") as lines:
        items = [json.loads(line) for line in lines]
    video = {item["text"]: item["orig"].partition("|")[2] for item in items}
    parts = {"youtube_spam": lambda raw: video[raw], "sms_spam": lambda raw: f"fifth {bucket(raw) % 5 + 1}"}
    return {name: np.array([of(raw) if source == name else "" for raw, source in zip(rows.raw, rows.source)])
            for name, of in parts.items()}


def report(rows: Rows, root: Path, tokenizer, smoke: bool, log) -> str:
    """For each part and all of a set: accuracy at the threshold, and spam caught at the score that blocks 0.1 % of the rest. What is measured
    is the part of screen's recipe that needs no other model: `deep` has seen all parts, so only labels teach."""
    rows = some(rows, np.flatnonzero(rows.weight[:, SPAM] >= KNOWN))
    lines = ["| set | left out | rows | spam | accuracy | caught at ≤ 0.1 % blocked |", "| --- | --- | ---: | ---: | ---: | ---: |"]
    for name, part in parts_of(rows, root).items():
        p, said, split = np.zeros(len(part), np.float32), np.zeros(len(part), bool), rows.split.copy()
        for value in np.unique(part[part != ""]):
            log(f"{name} without {value}")
            held = np.flatnonzero(part == value)
            rows.split[part != ""] = TRAIN
            rows.split[held] = TEST
            p[held], threshold = without(rows, held, tokenizer, smoke, log)
            said[held] = p[held] >= threshold
            lines.append(row(name, value, rows.target[held, SPAM], p[held], said[held]))
        whole = part != ""
        if whole.any():
            lines.append(row(name, "all in turn", rows.target[whole, SPAM], p[whole], said[whole]))
        rows.split[:] = split
    return "\n".join(lines)


def row(name: str, part: str, target: np.ndarray, p: np.ndarray, said: np.ndarray) -> str:
    right = (said == (target > 0.5)).mean()
    return f"| `{name}` | {part} | {len(p)} | {int(target.sum())} | {right:.3f} | {caught(target, p):.3f} |"
