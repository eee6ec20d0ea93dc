"""Trains and reads the uncased WordPiece tokenizer of `screen`, in plain Hugging Face form."""

from collections import Counter
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from .data import AUTHORED, Rows
from .functional import PREFIX

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD = 0
MAX_TOKENS, STRIDE = 128, 96

_EMOJI_RANGES = [
    (0x1F300, 0x1F64F), (0x1F680, 0x1F6FF), (0x1F7E0, 0x1F7EB), (0x1F900, 0x1F9FF), (0x1FA70, 0x1FAFF),
    (0x1F1E6, 0x1F1FF), (0x2600, 0x27BF), (0x2B05, 0x2B07), (0x2B1B, 0x2B1C), (0x2B50, 0x2B50), (0x2B55, 0x2B55),
    (0x231A, 0x231B), (0x23E9, 0x23F3), (0x25AA, 0x25AB), (0x25FB, 0x25FE), (0x2934, 0x2935), (0x2194, 0x2199),
]


def emoji() -> list[str]:
    """Every assigned emoji code point (skin tones and regional letters included)."""
    import unicodedata

    return [chr(c) for low, high in _EMOJI_RANGES for c in range(low, high + 1)
            if unicodedata.category(chr(c)) in ("So", "Sk", "Sm", "Po")]


def blank(pieces) -> Tokenizer:
    """A tokenizer of plain BERT features around these pieces, numbered as they come."""
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=True, lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    return tokenizer


def _corpus(rows: Rows, seed: int):
    """Texts for the trainer: authored rows often, each public set at most 12,000 rows; no functional ones (few frames)."""
    rng = np.random.default_rng(seed)
    for name in np.unique(rows.source):
        if name.startswith(PREFIX):
            continue
        at = np.flatnonzero((rows.source == name) & (rows.split == 0))
        if name == AUTHORED:
            at = np.tile(at, 8)
        else:
            at = at if len(at) <= 12000 else rng.choice(at, 12000, replace=False)
        for index in at:
            yield rows.text[index][:600]


def train(rows: Rows, size: int, seed: int = 13) -> Tokenizer:
    """Learns pieces from the training split, then adds every letter and emoji in both positions."""
    corpus = list(_corpus(rows, seed))
    reader = blank(["[UNK]"])
    letters = Counter()
    for text in corpus:
        letters.update(reader.normalizer.normalize_str(text))
    alphabet = [c for c, n in letters.items() if n >= 12 and not c.isspace()]
    alphabet = sorted(set(alphabet) | {chr(c) for c in range(33, 127) if not 65 <= c <= 90})
    learner = blank(SPECIALS)
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, min_frequency=3, special_tokens=SPECIALS, show_progress=False,
        limit_alphabet=len(alphabet), continuing_subword_prefix="##")
    learner.train_from_iterator(corpus, trainer)
    learned = [t for t, _ in sorted(learner.get_vocab().items(), key=lambda item: item[1]) if t not in SPECIALS]
    pictures = emoji()
    continued = [c for c in alphabet if not 0x2E80 <= ord(c) <= 0x9FFF and c.isalnum()]
    must = list(dict.fromkeys(
        alphabet + pictures + ["##" + c for c in pictures] + ["##" + c for c in continued]))
    known = set(must)
    pieces = must + [t for t in learned if t not in known][: size - len(SPECIALS) - len(must)]
    return blank(SPECIALS + pieces)


def read(path: Path) -> Tokenizer:
    return Tokenizer.from_file(str(path))


def pieces(path: Path) -> list:
    """A tokenizer's pieces in the order of their ids."""
    vocabulary = read(path).get_vocab()
    return sorted(vocabulary, key=vocabulary.get)


def encode(tokenizer: Tokenizer, texts: list, limit: int = MAX_TOKENS) -> tuple[np.ndarray, np.ndarray]:
    """Token ids of all texts end to end (each cut at `limit`), and where each starts."""
    ids, starts = [], [0]
    for begin in range(0, len(texts), 20000):
        for item in tokenizer.encode_batch_fast(texts[begin : begin + 20000], add_special_tokens=False):
            piece = item.ids[:limit]
            ids.append(np.array(piece, dtype=np.int32))
            starts.append(starts[-1] + len(piece))
    return np.concatenate(ids) if ids else np.zeros(0, np.int32), np.array(starts, dtype=np.int64)
