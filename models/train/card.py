"""Writes the model card: data and licences, intended use, results, known failures."""

from pathlib import Path

import numpy as np

from .data import AUTHORED, OWN, TRAIN, Rows
from .functional import PREFIX
from .sources import OFFERED

INTRO = {
    "screen": """# Model card: screen

A very small multi-label classifier for brand comments and direct messages: static token vectors, pooled by
learned weights per group of dimensions, and one hidden layer; beside them a linear model of pieces and pairs of
neighbours. It scores every message; those that it is unsure of go on to `deep` where one is installed.

- Input: `input_ids` int32 `[batch, tokens]`, padded with 0. Padding adds exactly nothing; no special tokens.
- Output: `logits` float32 `[batch, 10]`; probability = sigmoid(scale x logit + bias), from `manifest.toml`.
- Token vectors start from single-piece vectors of all-MiniLM-L6-v2 (Apache-2.0) where it can read the piece.
- The tables are stored as int8; the table of pieces is folded to float when another runtime makes its session: keep ONNX Runtime's
  graph optimisation at `basic` or more, or each call will unpack the whole table.
- The graph is one call of a function in the domain `tidegate`, which it defines. Tidegate has an operator of its own in its
  place; any other runtime computes what the function says.
- Text over 128 tokens is scored in windows (every 96 tokens); a label's score is the maximum over windows.
- It learned from the labels and from what `deep` says of training texts, of obfuscated copies and of texts recombined from
  them: the errors of `deep` are its errors too.
""",
    "deep": """# Model card: deep

A fine-tuned MiniLM (all-MiniLM-L6-v2, Apache-2.0; three of its six layers, and of each the half of the inner units with the greatest
weights, with ReLU) with ten sigmoid outputs, for the messages that `screen` is unsure of. Weights of the matrix products are int8 (seven bits in use); activations are quantised by
fixed scales measured on training texts, so that a text scores the same alone and in a batch. Words are looked up
in a vocabulary cut to what the training texts use, with emoji and frequent words of other languages added.
It learned from labels and from two teachers, all-mpnet-base-v2 (Apache-2.0) tuned on the same rows, which were also asked about texts
altered anew at every step; it began from the version before, which had learned so from older teachers. Over the last part of its training
the products were computed as the int8 export computes them.
To the logits of all labels but hate comes a linear model of pieces and pairs of neighbours, fitted to the labels alone.

- Input: `input_ids` and `attention_mask` int64 `[batch, tokens]`, `[CLS]` and `[SEP]` included.
- Output: `logits` float32 `[batch, 10]`; probability = sigmoid(scale x logit + bias), from `manifest.toml`.
- Text over the window is scored in windows; a label's score is the maximum over windows.
- The encoder was pretrained on English; other languages rest on what fine-tuning taught it.
""",
}

ORDER = {
    "screen": """- Of word order only pairs of neighbours are seen: negation, quoted hate, counter-speech, reported speech, sarcasm and "already bought it"
  against "want to buy it" are weak. Implicit hate without marked words is mostly missed.""",
    "deep": """- Implied hate and sarcasm remain hard; the figures by function below are for frames of the same hand as the training
  frames and flatter the model. Hate outside English is weakly learned.""",
}

USE = """## Intended use

Triage: hide probable spam, send hate, abuse, legal and safety matters to people, find buying intent and support
requests. Not for decisions about people, for ranking authors, or for acting on hate or self-harm without a person.

Texts are to be normalised as serving does (NFKC, zero-width removal, masked links, handles and e-mail, repeats
squeezed to three). `golden.jsonl` holds texts that are scored exactly as they stand, without that step.
"""

LIMITS = """## Known failures

- One annotator's pass wrote the authored labels, and the held-out part is from the same hand: expect lower figures
  on a real brand's traffic, and check before acting without people.
{order}
- `hate` has no authored positives: it is learned from public sets whose definitions differ and from functional texts,
  and is calibrated on a mix of these with authored messages. Its probability shifts with the mix of traffic.
- Quality differs much by language, and some 50 held-out messages a language make those figures coarse. The manifest
  names the languages whose macro-F1 over the six routing labels is 0.5 or more.
- Heavy obfuscation, code-mixing beyond Hinglish, and languages outside the manifest's list are weak. Capital
  letters are not seen.
- `risk` learns self-harm, privacy and child safety from few authored rows only: not a crisis detector.

## Bias

Keyword-sampled hate sets over-represent identity terms, slurs and African-American English among positives, so
messages that only mention a group, reclaim a term or are written in dialect are flagged more often. `train_f` of the
authored rows (what hate filters wrongly flag), the functional texts (`../train/functional.toml`) and the identity madlibs push
against this; the results per source and the table of neutral sentences by group show what is left. Thresholds may be set per brand and channel; review the flagged share by language.
"""


def write(folder: Path, name: str, rows: Rows, results: str):
    train = rows.split == TRAIN
    lines = [INTRO[name], USE, "## Data\n",
             "Authored rows were written for this project. Public sets: only those whose owner's licence allows "
             "commercial use, and these without a clear licence whose authors offer them with citation or whose "
             "upstream release is listed under an open licence: " + ", ".join(f"`{s}`" for s in sorted(OFFERED)) + ". "
             "Non-commercial and research-only sets are not used. Share-alike and attribution duties of the sets "
             "(see `../train/SOURCES.md`) stay with whoever ships the data; posts remain under their platforms' terms. "
             "`functional` are texts of our own, made from frames; splits follow the frame.\n",
             "| set | training rows | held out |", "| --- | ---: | ---: |"]
    source_of = np.array(["functional" if s.startswith(PREFIX) else s for s in rows.source])
    first = [s for s in (AUTHORED, OWN, "functional") if s in source_of]
    for source in first + sorted(set(source_of) - set(first)):
        at = source_of == source
        lines.append(f"| {source} | {int((at & train).sum())} | {int((at & ~train).sum())} |")
    lines += ["", "Labels that a set does not speak about carry no loss, or a weak zero by kind of set "
              "(`../train/sources.py`). A share of rows is obfuscated in training.\n",
              "## Results\n",
              "Measured on the exported file. Held out: 15 % of the authored rows and, of each public set, its own "
              "development rows (two thirds) or 8 %, chosen by a hash of the letters. Calibration and thresholds come "
              "from other rows (12 % of authored; 4 % or the remaining third of public).\n", results, LIMITS.replace("{order}", ORDER[name])]
    (folder / "CARD.md").write_text("\n".join(lines), encoding="utf-8")
