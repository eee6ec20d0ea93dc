"""What the teachers think of training texts and of texts made of them, for `screen` to learn from."""

import hashlib
import json
import random
from dataclasses import dataclass

import numpy as np

from . import store
from .augment import recombined
from .bundle import Model, sha256
from .data import AUTHORED, TRAIN, Rows
from .functional import PREFIX
from .metrics import sigmoid
from .normalize import normalize_all

# The source name of texts that nobody labelled: they are made of training texts, and only the teachers speak about them.
RECOMBINED = "recombined"
# Kinds of a prepared text: a row as it stands, and a validation row; obfuscated copies by round lie between.
PLAIN, VALID = 0, 100
# How often an authored and a functional text is cut, spliced with an authored one, and given other words.
TIMES = {AUTHORED: (1, 2, 1.5), PREFIX: (0.5, 0.8, 0.7)}
# What the finished `deep` is asked about beside, for `screen` alone: more such texts, by these seeds, and how many of them.
MORE = {AUTHORED: (1, 2, 1.5), PREFIX: (0.2, 0.4, 0.2)}
SEEDS = (12, 13)
ASKED = 600_000


@dataclass
class Lessons:
    """Texts with what the teachers make of them; `row` is the training row that a text is or was made from, or -1; `kind`
    is 0 for rows as they stand and recombined texts, else the round of an obfuscated copy."""

    text: list
    row: np.ndarray
    kind: np.ndarray
    soft: np.ndarray


def made(rows: Rows, seed: int = 11, often: dict = TIMES) -> list:
    """Recombined training texts, each once and none that is held out."""
    rng, out = random.Random(seed), []
    train = rows.split == TRAIN
    functional = np.char.startswith(rows.source.astype(str), PREFIX)
    for lang in np.unique(rows.lang[rows.source == AUTHORED]):
        of = lambda at: [rows.raw[i] for i in np.flatnonzero(train & (rows.lang == lang) & at)]
        own = of(rows.source == AUTHORED)
        if own:
            out += recombined(own, own, rng, often[AUTHORED]) + recombined(of(functional), own, rng, often[PREFIX])
    seen = {rows.text[i].casefold() for i in np.flatnonzero(~train)} | {""}
    unique = {}
    for text in normalize_all(out):
        if text.casefold() not in seen:
            unique.setdefault(text.casefold(), text)
    out = list(unique.values())
    rng.shuffle(out)
    return out


def answers(work) -> np.ndarray | None:
    """The teachers' logits on the prepared texts; nothing if there were no teachers. They are kept in twelfths."""
    path = work / "soft.bin"
    return store.load(path)[0]["soft"].astype(np.float32) / 12 if path.exists() else None


def keep_answers(work, logits: np.ndarray):
    """Writes what `answers` reads."""
    store.save(work / "soft.bin", {"soft": np.clip(np.rint(logits * 12), -127, 127).astype(np.int8)})


def lessons(rows: Rows, work, log, deep=None, threads: int = 1) -> Lessons | None:
    """What the work folder of `deep` holds of its teachers' answers, and what `deep` itself says of more texts; nothing if it
    was trained without teachers."""
    soft = answers(work)
    if soft is None:
        return None
    about, notes = store.load(work / "texts.bin")
    taught = about["kind"] < VALID
    texts = [text for text, use in zip(notes["texts"], taught) if use]
    origin, kind, soft = about["origin"][taught], about["kind"][taught], sigmoid(soft[taught])
    # Rows may have come since, so a row is known by its text and not by where it stood.
    stands = {text: at for at, text in enumerate(rows.text)}
    now = {at: stands.get(text, -1) for text, at, way in zip(texts, origin, kind) if way == PLAIN and at >= 0}
    origin = np.array([now.get(at, -1) for at in origin])
    if deep:
        have, more = {text.casefold() for text in texts}, []
        for seed in SEEDS:
            more += [text for text in made(rows, seed, MORE) if text.casefold() not in have]
            have |= {text.casefold() for text in more}
        more = more[:ASKED]
        texts, soft = texts + more, np.concatenate([soft, ask(more, deep, work, threads, log)])
        origin = np.concatenate([origin, np.full(len(more), -1)])
        kind = np.concatenate([kind, np.zeros(len(more), kind.dtype)])
    log(f"{len(texts)} texts with answers")
    return Lessons(texts, origin, kind, soft)


def ask(texts: list, folder, work, threads: int, log, limit: int | None = None) -> np.ndarray:
    """A model's scores of texts (of their first `limit` tokens), in parts that are kept: a second call goes on where the first was
    cut off."""
    store_at = work / f"asked-{sha256(folder / 'model.onnx')[:12]}"
    store_at.mkdir(parents=True, exist_ok=True)
    model, parts = None, []
    for begin in range(0, len(texts), 4096):
        part = texts[begin : begin + 4096]
        # Other texts are asked about in the same work folder, so a part goes by what it holds.
        path = store_at / f"{hashlib.sha256(json.dumps([limit, part]).encode()).hexdigest()[:16]}.npy"
        if not path.exists():
            model = model or Model(folder, threads)
            np.save(path, model.scores(part, limit).astype(np.float32))
            log(f"deep was asked about {min(begin + 4096, len(texts))} of {len(texts)} texts")
        parts.append(np.load(path))
    return np.concatenate(parts)
