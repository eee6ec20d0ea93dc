"""Builds training texts of our own from `functional.toml`: what hate filters get wrong, and its hateful twins."""

import random
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .labels import CODES, INDEX, LABELS

PREFIX = "functional:"
# How many texts a frame gives: English, other languages; and in frames whose twin has another target.
EACH, EACH_OTHER, EACH_TWIN = 22, 9, 8


@dataclass(frozen=True)
class Made:
    """One text: its function, the frame it was made from, labels that hold, and labels left open."""

    text: str
    function: str
    frame: str
    lang: str
    labels: str
    unsure: str
    group: str = ""

    def target(self) -> list:
        return [1.0 if label in {CODES[c] for c in self.labels} else 0.0 for label in LABELS]

    def weight(self) -> list:
        """Everything that is neither named nor left open is a certain zero; `risk` is left open in hateful texts."""
        out = [1.0] * len(LABELS)
        for code in self.unsure:
            out[INDEX[CODES[code]]] = 0.0
        return out


@cache
def _book() -> dict:
    return tomllib.loads((Path(__file__).parent / "functional.toml").read_text(encoding="utf-8"))


class Filler:
    """Fills slots; a group is the same wherever one text names it."""

    def __init__(self, slots: dict, rng: random.Random):
        self.slots, self.rng = slots, rng

    def pick(self, name: str) -> str:
        return self.rng.choice(self.slots[name])

    def fill(self, frame: str, target: str | None = None, group: str | None = None, attack: str = "") -> tuple[str, str]:
        """The text, and the group that it names (or nothing)."""
        many, _, one = (group or self.pick("group")).partition("|")
        bad, _, bad_one = self.pick("bad").partition("|")
        aimed = target or many
        values = {"g": many, "a": one, "t": aimed, "bad": bad, "bad1": bad_one, "attack": attack}

        def slot(match):
            name = match[1]
            return values[name] if name in values else self.pick(name)

        text = re.sub(r"\{(\w+)\}", slot, frame)
        named = many if re.search(r"\{(g|a)\}", frame) or (target is None and "{t}" in frame) else ""
        return text, named

    def dress(self, text: str) -> str:
        """Now and then something said before or after, alike for every function."""
        roll = self.rng.random()
        if roll < 0.15:
            return f"{self.pick('open')} {text}"
        if roll < 0.30:
            return f"{text} {self.pick('close')}"
        if roll < 0.36:
            return f"{self.pick('open')} {text} {self.pick('close')}"
        return text[0].upper() + text[1:] if roll < 0.65 else text


def held(frame: str, bucket) -> int:
    """Split of a frame: 0 training, 1 validation, 2 test (as authored rows are split)."""
    slot = bucket(frame)
    return 2 if slot < 15 else 1 if slot < 27 else 0


def _english(made: dict, bucket, rng: random.Random, each: int):
    book = _book()
    filler = Filler({**book["slots"], **book["slots2"]}, rng)
    parts = {part["name"]: part for part in book["part"]}

    def add(name, frame, labels, unsure, times, target_slot=None, sure_attack=None):
        part = parts[name]
        groups = book["slots"]["group"] if part.get("bias") and held(frame, bucket) else [None] * times
        for group in groups:
            attack = ""
            if "{attack}" in frame:
                inner = rng.choice(sure_attack)
                if target_slot:
                    inner = inner.replace("{g}", "{t}")
                aim = filler.pick(target_slot) if target_slot else None
                attack, named = filler.fill(inner, aim)
                text, _ = filler.fill(frame, attack=attack)
                group_named = "" if target_slot else named
            else:
                text, group_named = filler.fill(frame, filler.pick(target_slot) if target_slot else None, group)
            text = text if part.get("bias") and group else filler.dress(text)
            function = name + (f"_{target_slot}" if target_slot else "")
            made.setdefault(text, Made(text, function, frame, "en", labels, unsure, group_named))

    inner = [f for n in ("attack", "dehumanise", "threat", "negated_good") for f in parts[n]["texts"]]
    bare = ["{g} are {bad}", "{g} should be kicked out", "{g} do not belong in {place}", "all {g} are {bad}", "I hate {g}", "{g} can't be trusted"]
    for name, part in parts.items():
        for frame in part["texts"]:
            split = held(frame, bucket)
            # What a frame quotes comes from frames of the same split: nothing held out is seen in training.
            quotable = bare + [f.replace("{t}", "{g}") for f in inner if held(f, bucket) == split and "{a}" not in f and "?" not in f]
            times = 1 if "{" not in frame else each
            add(name, frame, part["labels"], part["unsure"], times, sure_attack=quotable)
            if part.get("swap") or name == "hate_quote":
                twin = [f for f in quotable if "{g}" in f]
                for slot in ("thing", "trade"):
                    add(name, frame, "N", "AQ" if slot == "trade" else "Q", max(1, each * EACH_TWIN // EACH), slot, twin)


def _others(made: dict, bucket, rng: random.Random, each: int):
    names = _book()["slots"]["name"]
    for part in _book()["language"]:
        filler = Filler({**part, "name": names}, rng)
        code = part["code"]

        def add(function, frame, labels, unsure, target=None):
            for _ in range(each if "{" in frame else 1):
                text, named = filler.fill(frame, filler.pick(target) if target else None)
                made.setdefault(text, Made(text, f"{function}_{code}", frame, code, labels, unsure, ""))

        for frame in part["swap"]:
            add("hate", frame, "H", "ANQ")
            add("thing", frame, "N", "AQ", "thing")
        for frame in part["hate"]:
            add("hate", frame, "H", "ANQ")
        for frame in part["fine"]:
            add("fine", frame, "", "ANGQ")
        for frame in part["person"]:
            add("person", frame, "A", "N")
        for frame in part["swear"]:
            add("swear", frame, "", "NG")


def texts(bucket, seed: int = 17, smoke: bool = False) -> list[Made]:
    """All texts, each once. `bucket` is the hash that splits rows."""
    made, rng = {}, random.Random(seed)
    _english(made, bucket, rng, 1 if smoke else EACH)
    _others(made, bucket, rng, 1 if smoke else EACH_OTHER)
    return rng.sample(list(made.values()), 300) if smoke else list(made.values())
