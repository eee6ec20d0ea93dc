"""Changed training texts: obfuscated ones, which keep their labels, and recombined ones, about which `deep` is asked."""

import random
import re

_LEET = {"a": "4@", "e": "3", "i": "1!", "o": "0", "s": "5$", "t": "7", "b": "8", "g": "9", "l": "1"}
_HOMOGLYPH = {"a": "а", "e": "е", "o": "о", "p": "р", "c": "с", "x": "х", "y": "у", "i": "і"}


def _leet(word: str, rng: random.Random) -> str:
    return "".join(rng.choice(_LEET[c]) if c in _LEET and rng.random() < 0.6 else c for c in word)


def _spaced(word: str, rng: random.Random) -> str:
    return rng.choice([" ", " ", " ", ".", "-", "_", "*"]).join(word)


def _homoglyph(word: str, rng: random.Random) -> str:
    return "".join(_HOMOGLYPH[c] if c in _HOMOGLYPH and rng.random() < 0.6 else c for c in word)


def _swap(word: str, rng: random.Random) -> str:
    at = rng.randrange(len(word) - 1)
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def _drop(word: str, rng: random.Random) -> str:
    at = rng.randrange(1, len(word))
    return word[:at] + word[at + 1 :]


def _star(word: str, rng: random.Random) -> str:
    at = rng.randrange(1, len(word))
    return word[:at] + "*" + word[at + 1 :]


def _stretch(word: str, rng: random.Random) -> str:
    at = rng.randrange(len(word))
    return word[:at] + word[at] * 3 + word[at + 1 :]


def _picture(word: str, rng: random.Random) -> str:
    at = rng.randrange(1, len(word))
    return word[:at] + rng.choice(_PICTURES) + word[at:]


def _pictured(word: str, rng: random.Random) -> str:
    """Between all letters, or in the middle."""
    one = rng.choice(_PICTURES)
    at = len(word) // 2
    return one.join(word) if rng.random() < 0.2 else word[:at] + one + word[at:]


_PICTURES = "🔥❤😂💀✨🙏💰🤮👏⭐😍💯😭🎉👍💪😡🤡🐍💩🤣😎👀💸🎁📱🚀💥❗✅🌟💕🤑😈🙌👇"
_WAYS = [_leet, _leet, _spaced, _spaced, _spaced, _homoglyph, _swap, _swap, _drop, _drop, _star, _stretch,
         _picture, _pictured, _pictured]


def obfuscate(text: str, rng: random.Random) -> str:
    """One way of hiding, applied to a share of the words of four letters or more."""
    way = rng.choice(_WAYS)
    share = rng.choice([0.2, 0.5, 0.9])
    words = text.split(" ")
    changed = [way(w, rng) if len(w) >= 4 and w.isalpha() and rng.random() < share else w for w in words]
    return " ".join(changed)


def _invisible(word: str, rng: random.Random) -> str:
    return "\u200b".join(word)


def _pictures(word: str, rng: random.Random) -> str:
    at = len(word) // 2
    return word[:at] + rng.choice("🔥❤😂💀✨") + word[at:]


# What the card measures; serving's normalisation undoes some of it.
DISGUISES = {
    "leet": _leet, "spaced letters": lambda word, rng: " ".join(word), "look-alikes": _homoglyph, "zero-width": _invisible,
    "case": lambda word, rng: word.upper(), "letters swapped": _swap, "letters dropped": _drop, "emoji inside": _pictures,
}


def disguise(text: str, way, rng: random.Random) -> str:
    """One way, on four in five of the words of four letters or more."""
    out = []
    for word in text.split(" "):
        out.append(way(word, rng) if len(word) >= 4 and word.isalpha() and rng.random() < 0.8 else word)
    return " ".join(out)


_BREAK = re.compile(r"(?<=[.!?,;:…])\s+|\s+[-–—]\s+|\n+")


def _cut(text: str, rng: random.Random) -> str:
    words = text.split()
    if len(words) < 4:
        return text
    size = max(2, int(len(words) * rng.uniform(0.35, 0.85)))
    begin = rng.choice([0, len(words) - size, rng.randrange(len(words) - size + 1)])
    return " ".join(words[begin : begin + size])


def _piece(text: str, rng: random.Random) -> str:
    """Some neighbouring clauses, or a part of the only one."""
    clauses = [part.strip() for part in _BREAK.split(text) if part.strip()]
    if len(clauses) > 1:
        begin = rng.randrange(len(clauses))
        return " ".join(clauses[begin : rng.randrange(begin, len(clauses)) + 1])
    return text if rng.random() < 0.6 else _cut(text, rng)


def _splice(one: str, other: str, rng: random.Random) -> str:
    return _piece(one, rng) + rng.choice([" ", " ", " ", ". ", ", ", " but "]) + _piece(other, rng)


def _exchange(text: str, words: list, rng: random.Random) -> str:
    out = text.split()
    for _ in range(max(1, int(len(out) * rng.uniform(0.08, 0.3)))):
        out[rng.randrange(len(out))] = rng.choice(words)
    return " ".join(out)


def recombined(texts: list, partners: list, rng: random.Random, times: tuple) -> list:
    """Texts of one language cut short, spliced with `partners`, and with words of theirs exchanged; so often each way."""
    words = [word for text in partners for word in text.split()]
    out = []
    for text in texts:
        if text.split():
            for way, often in zip((lambda: _cut(text, rng), lambda: _splice(text, rng.choice(partners), rng),
                                   lambda: _exchange(text, words, rng)), times):
                whole = int(often) + (rng.random() < often % 1)
                out += [way() for _ in range(whole)]
    return out
