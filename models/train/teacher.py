"""What `deep` thinks of training texts and of texts made of them, for `screen` to learn from."""

import random
from dataclasses import dataclass

import numpy as np

from .augment import recombined
from .bundle import Model, sha256
from .data import AUTHORED, TRAIN, Rows
from .functional import PREFIX
from .normalize import normalize_all

# The source name of texts that nobody labelled: they are made of training texts, and only `deep` speaks about them.
RECOMBINED = "recombined"
# How often an authored and a functional text is cut, spliced with an authored one, and given other words.
TIMES = {AUTHORED: (6, 12, 10), PREFIX: (0.7, 1.2, 1.0)}
# How many rows of a public set are asked about, and how much of each: long texts are costly.
MOST, LETTERS = 1000, 160


@dataclass
class Lessons:
    """Texts with what `deep` makes of them; `row` is the training row that a text is, or -1."""

    text: list
    row: np.ndarray
    soft: np.ndarray


def made(rows: Rows, seed: int = 11) -> list:
    """Recombined training texts, each once and none that is held out."""
    rng, out = random.Random(seed), []
    train = rows.split == TRAIN
    functional = np.char.startswith(rows.source.astype(str), PREFIX)
    for lang in np.unique(rows.lang[rows.source == AUTHORED]):
        of = lambda at: [rows.raw[i] for i in np.flatnonzero(train & (rows.lang == lang) & at)]
        own = of(rows.source == AUTHORED)
        if own:
            out += recombined(own, own, rng, TIMES[AUTHORED]) + recombined(of(functional), own, rng, TIMES[PREFIX])
    seen = {rows.text[i].casefold() for i in np.flatnonzero(~train)} | {""}
    unique = {}
    for text in normalize_all(out):
        if text.casefold() not in seen:
            unique.setdefault(text.casefold(), text)
    out = list(unique.values())
    rng.shuffle(out)
    return out


def asked(rows: Rows, languages) -> np.ndarray:
    """Training rows to ask about, in the languages that `deep` was tuned on: all of our own, some of each public set."""
    rng, parts = np.random.default_rng(9), []
    able = (rows.split == TRAIN) & np.isin(rows.lang, languages)
    for name in np.unique(rows.source[able]):
        at = rng.permutation(np.flatnonzero(able & (rows.source == name)))
        parts.append(at if name == AUTHORED or name.startswith(PREFIX) else at[:MOST])
    return np.concatenate(parts)


def lessons(rows: Rows, folder, work, log, threads: int = 1) -> Lessons:
    """Asks, in parts that are kept in the work folder: a second call goes on where the first was cut off."""
    from .deep import Plan

    index = asked(rows, Plan.languages)
    extra = made(rows)
    text = [rows.text[i] if rows.source[i] == AUTHORED or rows.source[i].startswith(PREFIX) else rows.text[i][:LETTERS]
            for i in index] + extra
    store = work / f"taught-{sha256(folder / 'model.onnx')[:12]}-{len(text)}"
    store.mkdir(parents=True, exist_ok=True)
    model, parts = None, []
    for begin in range(0, len(text), 4096):
        path = store / f"{begin}.npy"
        if not path.exists():
            model = model or Model(folder, threads)
            np.save(path, model.scores(text[begin : begin + 4096]).astype(np.float32))
            log(f"deep was asked about {min(begin + 4096, len(text))} of {len(text)} texts")
        parts.append(np.load(path))
    return Lessons(text, np.concatenate([index, np.full(len(extra), -1)]), np.concatenate(parts))
