"""Cascade bands: between which screen scores a message is worth a deep look."""

from pathlib import Path

import numpy as np

from .bundle import Model
from .data import TEST, VALIDATION, Rows, hard_known
from .evaluate import kind_of
from .labels import HEADLINE, INDEX, LABELS
from .metrics import f1

# The labels that route a message, before bands were chosen with a deep model beside.
DEFAULT = {label: (0.20, 0.80) for label in ("spam", "hate", "abuse", "purchase_intent", "support", "risk", "collab")}
SIX = [INDEX[label] for label in HEADLINE]
LEAD = [INDEX[label] for label in ("spam", "abuse", "purchase_intent", "risk", "collab")]
HATE, SPAM = INDEX["hate"], INDEX["spam"]

# What the screen's call must be expected to lose for a deep look, tried from dear looks to cheap: the chance that a label
# is missed, or wrongly called, each weighed as F1 weighs them.
LOSSES = (0.30, 0.26, 0.24, 0.23, 0.22, 0.21, 0.20, 0.19, 0.18, 0.17, 0.16, 0.15, 0.14, 0.13, 0.12, 0.10, 0.08, 0.06, 0.04)
# Falls against deep alone, on validation rows, with which a cheaper band is taken: of the authored macro-F1, of that in
# English (which deep was pretrained on: elsewhere the screen is often the better one and would hide what English loses), and
# of the shares found of the hateful functional texts and let pass of the others. Hate goes to people: what is missed is worse.
FALL, FALL_ENGLISH, FALL_FOUND, FALL_PASSED = 0.005, 0.02, 0.03, 0.01
# Shares sent that count as the same.
SAME = 0.005
# Where nothing is as good as that, the loss is the least that sends no more than this share of a brand's messages. It may be
# large: when messages wait too long, serving narrows the bands by itself.
MOST = 0.70
# From here on the shipped policy hides spam by itself: all between the threshold and this is decided by a deep look.
HIDDEN_FROM = 0.85
# Of a hundred messages to a brand so many lead somewhere; of the authored ones about half do.
LEADING = 0.15
LOWS = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.10, 0.12, 0.15, 0.18, 0.21, 0.25, 0.30, 0.35, 0.40)
HIGHS = (0.45, 0.50, 0.55, 0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.90, 0.95, 1.00)


class Case:
    """Scores of both models on some rows. Serving compares every score with deep's thresholds."""

    def __init__(self, a, b, target, known, kind, lang, thresholds):
        self.a, self.b, self.target, self.known, self.kind, self.thresholds = a, b, target, known, kind, thresholds
        self.traffic, self.english = kind == "authored", lang == "en"

    def sent(self, bands: dict) -> np.ndarray:
        out = np.zeros(len(self.a), bool)
        for i, (low, high) in bands.items():
            out |= (self.a[:, i] >= low) & (self.a[:, i] <= high)
        return out

    def share(self, sent) -> float:
        """Of messages like those that a brand gets: the authored ones, with few that lead somewhere."""
        leads = self.target[self.traffic][:, LEAD].any(1)
        return float(LEADING * sent[self.traffic][leads].mean() + (1 - LEADING) * sent[self.traffic][~leads].mean())

    def macro(self, sent, labels=SIX, kind="authored", english: bool = False) -> float:
        p = np.where(sent[:, None], self.b, self.a)
        use = [(i, (self.kind == kind) & self.known[:, i] & (self.english | (not english))) for i in labels]
        return float(np.mean([f1(self.target[k, i], p[k, i] >= self.thresholds[i]) for i, k in use]))

    def halves(self, sent) -> tuple[float, float]:
        """Share found of the hateful functional texts, share let pass of the others."""
        right = (np.where(sent, self.b[:, HATE], self.a[:, HATE]) >= self.thresholds[HATE]) == (self.target[:, HATE] > 0.5)
        own = (self.kind == "functional") & self.known[:, HATE]
        return tuple(float(right[own & (self.target[:, HATE] == half)].mean()) for half in (1, 0))


def of_loss(thresholds, worth: float, loss: float) -> dict:
    """Bands of the six labels from one number: a call against score p loses p times what a miss costs, a call for it 1 - p
    times what a false alarm costs. F1 is best where calls begin at half of it, so these costs are 1 - F1 / 2 and F1 / 2.

    Bands that were fitted label by label to a thousand rows did worse on other rows.
    """
    alarm = worth / 2
    ends = lambda t, high: (round(float(min(loss / (1 - alarm), t)), 2), round(float(max(1 - loss / alarm, t, high)), 2))
    return {i: ends(thresholds[i], HIDDEN_FROM if i == SPAM else 0) for i in SIX}


def of_hate(case: Case) -> tuple:
    """The band of hate that keeps both halves and sends the fewest of a brand's messages, those apart that go anyway; of bands
    that send `SAME` more at most the one with most calls right, the narrowest where several have.

    Hate has no authored positives and the screen can't tell its functions apart, so its own scores say little there.
    """
    found, passed = case.halves(np.ones(len(case.a), bool))
    fit = []
    for low in LOWS:
        for high in HIGHS:
            sent = case.sent({HATE: (low, high)})
            now = case.halves(sent)
            if now[0] >= found - FALL_FOUND and now[1] >= passed - FALL_PASSED:
                fit.append((case.share(sent), sum(now), (low, high)))
    least = min(fit, default=(0,))[0]
    like = [(right, low - high, (low, high)) for share, right, (low, high) in fit if share <= least + SAME]
    return max(like)[2] if like else (LOWS[0], HIGHS[-1])


def write(folder: Path, bands: dict):
    """Puts the bands into the manifest in place of those that are there."""
    path = folder / "manifest.toml"
    head = path.read_text(encoding="utf-8").split("[cascade]")[0].rstrip("\n")
    lines = [f"{label} = [{bands[INDEX[label]][0]:.2f}, {bands[INDEX[label]][1]:.2f}]" for label in DEFAULT if INDEX[label] in bands]
    path.write_text("\n".join([head, "", "[cascade]", *lines, ""]), encoding="utf-8")


def take(case: Case, tried: list) -> dict:
    """The cheapest bands as good as deep alone, up to the fall; the last that sends at most `MOST` where they would send more."""
    alone = np.ones(len(case.a), bool)
    enough, enough_english = case.macro(alone) - FALL, case.macro(alone, english=True) - FALL_ENGLISH
    best = tried[0]
    for bands in tried:
        sent = case.sent(bands)
        if case.share(sent) > MOST:
            break
        best = bands
        if case.macro(sent) >= enough and case.macro(sent, english=True) >= enough_english:
            break
    return best


def cases(first: Model, second: Model, rows: Rows, index: np.ndarray, b: np.ndarray | None = None) -> dict:
    """Validation and test rows whose labels are certain, with both models' scores."""
    known = hard_known(rows)[index]
    kind = kind_of(rows.source[index])
    # Public sets speak for hate and spam; what they call support or abuse is not what a brand calls it.
    known[kind == "public"] &= np.isin(np.arange(len(LABELS)), [HATE, SPAM])[None, :]
    keep = known.any(1)
    texts = [rows.text[i] for i in index[keep]]
    a, b = first.scores(texts), second.scores(texts) if b is None else b[keep]
    index, known, kind = index[keep], known[keep], kind[keep]
    split, lang = rows.split[index], rows.lang[index]
    return {s: Case(a[at], b[at], rows.target[index][at], known[at], kind[at], lang[at], second.thresholds)
            for s in (VALIDATION, TEST) for at in [split == s]}


def show(screen: Path, deep: Path, rows: Rows, index: np.ndarray, log, b: np.ndarray | None = None):
    """Chooses on validation rows, writes the manifest, and prints what the cascade does on test rows."""
    both = cases(Model(screen), Model(deep), rows, index, b)
    case, test = both[VALIDATION], both[TEST]
    hate = of_hate(case)
    worth = case.macro(np.ones(len(case.a), bool))
    tried = [{**of_loss(case.thresholds, worth, loss), HATE: hate} for loss in LOSSES]
    taken = take(case, tried)
    print("| loss | sent | macro-F1, validation | sent, test | macro-F1 | English | hate found | others let pass | hate F1, public |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")

    def line(name, sent):
        v, t = sent(case), sent(test)
        found, passed = test.halves(t)
        print(f"| {name} | {case.share(v):.3f} | {case.macro(v):.3f} | {test.share(t):.3f} | {test.macro(t):.3f} | {test.macro(t, english=True):.3f} | "
              f"{found:.3f} | {passed:.3f} | {test.macro(t, [HATE], 'public'):.3f} |")

    line("screen alone", lambda c: np.zeros(len(c.a), bool))
    line("hate alone", lambda c: c.sent({HATE: hate}))
    for loss, bands in zip(LOSSES, tried):
        line(f"{loss:.2f}{' (taken)' if bands is taken else ''}", lambda c: c.sent(bands))
    line("deep alone", lambda c: np.ones(len(c.a), bool))
    write(screen, taken)
    log("bands: " + " ".join(f"{label} {taken[INDEX[label]]}" for label in DEFAULT if INDEX[label] in taken))
