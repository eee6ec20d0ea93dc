"""Turns rows into arrays that training alone needs (no texts, no data folder, no program), so that any machine can train."""

import unicodedata
from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from . import encoders, store, teacher, wordpiece
from .data import AUTHORED, OWN, TRAIN, VALIDATION, Rows, augmented, row_weights
from .functional import PREFIX
from .labels import LABELS
from .metrics import logit
from .teacher import RECOMBINED, VALID

CLS, SEP = 2, 3
UNKNOWN = ["[UNK]"]
# Special pieces under the names that MPNet's vocabulary gives them.
OTHER_NAMES = {"[PAD]": "<pad>", "[CLS]": "<s>", "[SEP]": "</s>", "[MASK]": "<mask>"}


def vocabulary(rows: Rows, new_words: int, seed: int) -> list:
    """Pieces: the published ones that are in use, frequent words that MiniLM would shatter, and emoji."""
    reader = encoders.tokenizer()
    base = reader.get_vocab()
    texts = [t[:400] for t in wordpiece._corpus(rows, seed)]
    used, words = Counter(), Counter()
    for begin in range(0, len(texts), 20000):
        for item in reader.encode_batch_fast(texts[begin : begin + 20000], add_special_tokens=False):
            used.update(item.ids)
    split = wordpiece.blank(["[UNK]"])
    for text in texts:
        for word, _ in split.pre_tokenizer.pre_tokenize_str(split.normalizer.normalize_str(text)):
            words[word] += 1
    keep = [t for t, i in base.items() if t not in wordpiece.SPECIALS and (used[i] >= 4 or len(t.removeprefix("##")) == 1)]
    keep.sort(key=base.get)
    shattered = []
    for word, count in words.most_common(60000):
        if count < 50 or len(word) > 24:
            continue
        parts = len(reader.encode(word, add_special_tokens=False).ids)
        if parts >= 3:
            shattered.append((word, count * (parts - 1)))
    shattered.sort(key=lambda item: -item[1])
    new = [word for word, _ in shattered[:new_words]] + [form for picture in wordpiece.emoji() for form in (picture, "##" + picture)]
    known = [piece for piece, parts in begun(new).items() if parts != UNKNOWN]
    return list(dict.fromkeys(wordpiece.SPECIALS + keep + known))


def begun(pieces: list) -> dict:
    """Each piece with the published ones that it begins from: itself, its parts, or those of an emoji's name."""
    reader = encoders.tokenizer()
    base, found = reader.get_vocab(), {}
    for piece in pieces:
        bare = piece.removeprefix("##")
        parts = [piece] if piece in base else reader.encode(bare, add_special_tokens=False).tokens
        if piece not in base and ("[UNK]" in parts or not parts):
            parts = reader.encode(unicodedata.name(bare, "").lower(), add_special_tokens=False).tokens if len(bare) == 1 else []
        found[piece] = parts or UNKNOWN
    return found


def table(pieces: list, vectors: np.ndarray, at: dict) -> np.ndarray:
    """A word vector for each piece: the mean of those it begins from."""
    return np.stack([vectors[[at[p] for p in parts]].mean(0) for parts in begun(pieces).values()]).astype(np.float32)


def student_weights(pieces: list) -> dict:
    w = encoders.tensors()
    words = table(pieces, w["embeddings.word_embeddings.weight"], encoders.tokenizer().get_vocab())
    return store.round_weights(encoders.minilm_state(w, words), 8)


def start_weights(folder: Path) -> dict:
    """Those of a deep model's folder."""
    from .readback import network

    state = network(folder).encoder.state_dict()
    return store.round_weights({name: value.numpy() for name, value in state.items()}, 8)


def teacher_weights(pieces: list, folder: Path) -> dict:
    """MPNet's, from a folder with `model.safetensors` and `vocab.txt`; six bits a weight, which tuning makes good."""
    w = encoders.tensors(folder / "model.safetensors")
    at = {t: i for i, t in enumerate((folder / "vocab.txt").read_text(encoding="utf-8").split("\n"))}
    at |= {ours: at[theirs] for ours, theirs in OTHER_NAMES.items()}
    return store.round_weights(encoders.mpnet_state(w, table(pieces, w["embeddings.word_embeddings.weight"], at)), 6)


def pack(tokenizer, texts: list, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Token ids with [CLS] and [SEP] end to end, each text cut at `limit`; and how many each has."""
    ids, starts = wordpiece.encode(tokenizer, texts, limit - 2)
    length = np.diff(starts) + 2
    out = np.zeros(length.sum(), np.uint16)
    begins = np.concatenate([[0], np.cumsum(length)[:-1]])
    out[begins], out[begins + length - 1] = CLS, SEP
    inner = np.ones(len(out), bool)
    inner[begins] = inner[begins + length - 1] = False
    out[inner] = ids
    return out, length.astype(np.uint16)


@dataclass
class Pool:
    """Packed texts. `kind` is PLAIN for rows as they stand, 1, 2, … for obfuscated copies by round, VALID for validation rows."""

    ids: np.ndarray
    length: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    source: np.ndarray
    kind: np.ndarray


def texts_of(rows: Rows, plan) -> tuple[list, np.ndarray, np.ndarray]:
    """All texts of the pool, the row that each comes from (-1: recombined), and its kind."""
    train = np.flatnonzero((rows.split == TRAIN) & np.isin(rows.lang, plan.languages))
    rng, parts = np.random.default_rng(plan.seed), []
    for name in np.unique(rows.source[train]):
        at = train[rows.source[train] == name]
        own = name in (AUTHORED, OWN) or name.startswith(PREFIX)
        parts.append(at if own else rng.permutation(at)[: plan.cap(str(name))])
    train = np.concatenate(parts)
    texts, origin, kind = [rows.text[i] for i in train], [train], [np.zeros(len(train), np.uint8)]
    for number in range(1, plan.disguised + 1):
        extra, at = augmented(rows, train, plan.seed + number, plan.harmful, plan.harmless)
        texts += extra
        origin.append(at)
        kind.append(np.full(len(at), number, np.uint8))
    made = teacher.made(rows) if plan.teachers else []
    texts += made
    origin.append(np.full(len(made), -1))
    kind.append(np.zeros(len(made), np.uint8))
    valid, some = np.flatnonzero((rows.split == VALIDATION) & np.isin(rows.lang, plan.languages)), []
    for name in np.unique(rows.source[valid]):
        at = valid[rows.source[valid] == name]
        whole = name in (AUTHORED, OWN, "dynahate", "sms_spam") or name.startswith(PREFIX)
        some.append(at if whole else rng.permutation(at)[: plan.watched])
    valid = np.concatenate(some)
    texts += [rows.text[i] for i in valid]
    origin.append(valid)
    kind.append(np.full(len(valid), VALID, np.uint8))
    return texts, np.concatenate(origin), np.concatenate(kind)


def pool_of(rows: Rows, texts: list, origin: np.ndarray, kind: np.ndarray, tokenizer, plan) -> Pool:
    ids, length = pack(tokenizer, texts, plan.limit)
    alone = origin < 0
    weight = row_weights(rows)
    weight[np.isin(rows.source, (AUTHORED, OWN))] *= plan.authored_weight
    target, weight = rows.target[origin].astype(np.uint8), weight[origin].astype(np.float16)
    weight[alone] = 0
    source = np.where(alone, RECOMBINED, rows.source[origin].astype("U40"))
    return Pool(ids, length, target, weight, source, kind)


def joined(first: Pool, second: Pool) -> Pool:
    """Both, one after the other."""
    return Pool(*(np.concatenate([getattr(first, part.name), getattr(second, part.name)]) for part in fields(Pool)))


def write(path: Path, pool: Pool, pieces: list, weights: dict):
    names = sorted(set(pool.source.tolist()))
    arrays = {"ids": pool.ids, "length": pool.length, "target": np.packbits(pool.target, axis=1), "weight": pool.weight,
              "source": np.searchsorted(names, pool.source).astype(np.uint8), "kind": pool.kind}
    store.save(path, arrays | {"start/" + k: v for k, v in weights.items()}, {"sources": names, "pieces": pieces})


def read(path: Path) -> tuple[Pool, list, dict]:
    """The pool, the pieces, and the weights that `deep` starts from."""
    arrays, notes = store.load(path)
    target = np.unpackbits(arrays["target"], axis=1)[:, : len(LABELS)]
    pool = Pool(arrays["ids"], arrays["length"], target, arrays["weight"].astype(np.float32),
                np.array(notes["sources"])[arrays["source"]], arrays["kind"])
    start = {k.removeprefix("start/"): v for k, v in arrays.items() if k.startswith("start/")}
    return pool, notes["pieces"], store.full_weights(start)


def run(rows: Rows, plan, work: Path, teacher_folder: Path | None, log, start: Path | None = None, threads: int = 1):
    """Writes `prepared.bin` and, with a teacher's folder, `teacher.bin`. With `start`, a deep model's folder, the texts are
    read in its pieces and training begins from it; without a teacher's folder what it says of each text is written to `soft.bin`
    in the place of teachers' answers."""
    pieces = wordpiece.pieces(start / "tokenizer.json") if start else vocabulary(rows, plan.new_words, plan.seed)
    tokenizer = wordpiece.blank(pieces)
    log(f"{len(pieces)} pieces")
    texts, origin, kind = texts_of(rows, plan)
    pool = pool_of(rows, texts, origin, kind, tokenizer, plan)
    log(f"{len(texts)} texts, {len(pool.ids) / 1e6:.1f} M tokens")
    if plan.teachers and teacher_folder:
        store.save(work / "teacher.bin", teacher_weights(pieces, teacher_folder))
    # For `screen`, which reads the same texts in pieces of its own.
    store.save(work / "texts.bin", {"origin": origin.astype(np.int32), "kind": kind}, {"texts": texts})
    if not start:
        begin = student_weights(pieces)
    elif teacher_folder:
        begin = start_weights(start)
    else:
        begin = {}
        teacher.keep_answers(work, logit(teacher.ask(texts, start, work, threads, log, plan.limit)))
    # Last: where it is, all is there.
    write(work / "prepared.bin", pool, pieces, begin)
