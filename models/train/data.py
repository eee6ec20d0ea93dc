"""Reads the authored and public sets into texts, partial targets, weights and splits."""

import gzip
import hashlib
import json
import random
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from . import functional
from .augment import obfuscate
from .labels import CODES, INDEX, LABELS
from .normalize import normalize_all
from .sources import KINDS, SOURCES, SPAM_ALONE, permitted, source_of

TRAIN, VALIDATION, TEST = 0, 1, 2
AUTHORED, OWN = "authored", "own"


@dataclass
class Rows:
    """A table of rows; `target` is 0/1, `weight` is 0 where a label is not known."""

    text: list = field(default_factory=list)
    raw: list = field(default_factory=list)
    lang: list = field(default_factory=list)
    source: list = field(default_factory=list)
    split: list = field(default_factory=list)
    target: list = field(default_factory=list)
    weight: list = field(default_factory=list)

    def add(self, raw, text, lang, source, split, target, weight):
        self.raw.append(raw)
        self.text.append(text)
        self.lang.append(lang)
        self.source.append(source)
        self.split.append(split)
        self.target.append(target)
        self.weight.append(weight)

    def freeze(self) -> "Rows":
        self.lang, self.source = np.array(self.lang), np.array(self.source)
        self.split = np.array(self.split, dtype=np.int8)
        self.target = np.array(self.target, dtype=np.float32).reshape(-1, len(LABELS))
        self.weight = np.array(self.weight, dtype=np.float32).reshape(-1, len(LABELS))
        return self


def bucket(text: str) -> int:
    """A stable number 0..99 from the letters of a text, so that near copies share a split."""
    letters = "".join(c for c in text.casefold() if c.isalpha()) or text
    return int.from_bytes(hashlib.sha256(letters.encode()).digest()[:4], "big") % 100


# Messages written for this project, in the format of the authored rows. None is held out: what is measured is measured on
# messages of other hands.
MESSAGES = Path(__file__).parent / "messages"


def _own_split(text: str) -> int:
    """Where a row of our own, or of a brand, belongs: 15 % are for the test, 12 % for validation."""
    slot = bucket(text)
    return TEST if slot < 15 else VALIDATION if slot < 27 else TRAIN


def _authored(rows: Rows, folder: Path, limit: int | None, held_out: bool = True):
    for path in sorted(folder.glob("*.tsv")):
        for line in path.read_text(encoding="utf-8").splitlines()[:limit]:
            codes, lang, _channel, _platform, raw = line.split("\t")
            target = [0.0] * len(LABELS)
            for code in codes.split(",") if codes != "-" else []:
                target[INDEX[CODES[code]]] = 1.0
            rows.add(raw, raw, lang, AUTHORED, _own_split(raw) if held_out else TRAIN, target, [1.0] * len(LABELS))


def _public(rows: Rows, path: Path, name: str, limit: int | None):
    source = SOURCES[name]
    lines = gzip.open(path, "rt", encoding="utf-8").readlines()
    if limit:
        lines = random.Random(7).sample(lines, min(limit, len(lines)))
    items = [json.loads(line) for line in lines]
    has_dev = sum(item["split"] != "train" for item in items) >= 300
    for item in items:
        target, weight = [0.0] * len(LABELS), [0.0] * len(LABELS)
        for label, share in KINDS[source.kind].items():
            weight[INDEX[label]] = share
        if item["labels"].get("spam") == 1:
            weight = [max(w, SPAM_ALONE) for w in weight]
        for label, value in item.get("weak", {}).items():
            target[INDEX[label]], weight[INDEX[label]] = float(value), 0.3
        for label, value in item["labels"].items():
            target[INDEX[label]], weight[INDEX[label]] = float(value), 1.0
        slot = bucket(item["text"])
        if has_dev:
            split = TRAIN if item["split"] == "train" else (VALIDATION if slot % 3 == 0 else TEST)
        else:
            split = TEST if slot < 8 else VALIDATION if slot < 12 else TRAIN
        rows.add(item["text"], item["text"], item["lang"], name, split, target, weight)


def _functional(rows: Rows, smoke: bool):
    """Each function of the functional texts is a source of its own, so that results name it."""
    for made in functional.texts(bucket, smoke=smoke):
        rows.add(made.text, made.text, made.lang, functional.PREFIX + made.function, functional.held(made.frame, bucket),
                 made.target(), made.weight())


def _own(rows: Rows, path: Path):
    """A brand's own labels: lines of `{"text", "labels": {label: 0 or 1}, "lang"?}`; what is not named is not known."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        item = json.loads(line)
        target, weight = [0.0] * len(LABELS), [0.0] * len(LABELS)
        for label, value in item["labels"].items():
            if label not in INDEX or value not in (0, 1):
                raise SystemExit(f"{path}:{number}: a label is one of {', '.join(LABELS)}, its value 0 or 1")
            target[INDEX[label]], weight[INDEX[label]] = float(value), 1.0
        rows.add(item["text"], item["text"], item.get("lang", "und"), OWN, _own_split(item["text"]), target, weight)


def load(root: Path, include_research: bool = False, smoke: bool = False, own: Path | None = None) -> Rows:
    """All permitted rows. `smoke` keeps a few hundred; `own` adds a brand's own."""
    rows = Rows()
    _authored(rows, root / "authored", 60 if smoke else None)
    cards = json.loads((root / "manifest.json").read_text(encoding="utf-8"))["datasets"]
    for card in cards:
        if card["name"] in SOURCES and permitted(card, include_research):
            _public(rows, root / card["file"], card["name"], 12 if smoke else None)
    _functional(rows, smoke)
    _authored(rows, MESSAGES, 60 if smoke else None, held_out=False)
    if own:
        _own(rows, own)
    rows.text = normalize_all(rows.raw)
    seen, keep = set(), []
    for index in sorted(range(len(rows.text)), key=lambda i: (-rows.split[i], i)):
        key = rows.text[index].casefold()
        if key not in seen:
            seen.add(key)
            keep.append(index)
    kept = Rows()
    for index in sorted(keep):
        kept.add(rows.raw[index], rows.text[index], rows.lang[index], rows.source[index], rows.split[index],
                 rows.target[index], rows.weight[index])
    return kept.freeze()


def hard_known(rows: Rows) -> np.ndarray:
    """Where a label is certain (not weak): the only places that evaluation looks at."""
    return rows.weight >= 0.999


def augmented(rows: Rows, indices: np.ndarray, seed: int, harmful: float = 0.15,
              harmless: float = 0.05) -> tuple[list, np.ndarray]:
    """Obfuscated copies of training rows, a share `harmful` of spam and hate and `harmless` of the rest: texts, and rows."""
    rng = random.Random(seed)
    spam, hate = INDEX["spam"], INDEX["hate"]
    texts, origin = [], []
    for index in indices:
        certain = rows.target[index] * rows.weight[index] >= 0.99
        share = (harmful if certain[spam] or certain[hate] else harmless) + (0.1 if rows.source[index] == AUTHORED else 0.0)
        if rng.random() < share:
            texts.append(obfuscate(rows.raw[index], rng))
            origin.append(index)
    return normalize_all(texts), np.array(origin, dtype=np.int64)


def epoch_indices(source: np.ndarray, rng: np.random.Generator, authored_times: int) -> np.ndarray:
    """One epoch's rows: at most a source's cap from each public set, authored rows several times."""
    parts = []
    for name in np.unique(source):
        at = np.flatnonzero(source == name)
        if name in (AUTHORED, OWN):
            parts.append(np.tile(at, authored_times))
        else:
            cap = source_of(name).cap
            parts.append(rng.choice(at, cap, replace=False) if len(at) > cap else at)
    order = np.concatenate(parts)
    rng.shuffle(order)
    return order


def row_weights(rows: Rows) -> np.ndarray:
    """Label weights with each source's own weight applied."""
    scale = np.array([1.0 if s == AUTHORED else source_of(s).weight for s in rows.source], dtype=np.float32)
    return rows.weight * scale[:, None]
