"""Scores texts as serving does (windows, maximum), and writes manifest and golden file of a model folder."""

import hashlib
import json
import tomllib
from pathlib import Path

import numpy as np
import onnxruntime

from . import wordpiece
from .labels import LABELS
from .metrics import sigmoid

VERSION = "2026.11.28.3"


def windows(ids: list, width: int, stride: int) -> list:
    """Token windows: one at every `stride`, the last being the first that reaches the end."""
    out, begin = [], 0
    while True:
        out.append(ids[begin : begin + width])
        if begin + width >= len(ids):
            return out
        begin += stride


def session(path: Path, threads: int = 1) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class Model:
    """A model folder, read as serving reads it."""

    def __init__(self, folder: Path, threads: int = 1):
        self.manifest = tomllib.loads((folder / "manifest.toml").read_text(encoding="utf-8"))
        self.session = session(folder / self.manifest["model"]["file"], threads)
        self.tokenizer = wordpiece.read(folder / self.manifest["tokenizer"]["file"])
        part = self.manifest["tokenizer"]
        self.width, self.stride, self.pad = part["max_tokens"], part["stride"], part["pad_id"]
        self.cls, self.sep = part.get("cls_id"), part.get("sep_id")
        self.scale = np.array(self.manifest["calibration"]["scale"])
        self.bias = np.array(self.manifest["calibration"]["bias"])
        self.thresholds = np.array([self.manifest["thresholds"][label] for label in LABELS])

    def run(self, rows: list) -> np.ndarray:
        names = self.manifest["model"]
        kind = np.int64 if "attention_mask" in names else np.int32
        ids = np.full((len(rows), max(1, max(map(len, rows)))), self.pad, kind)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
        feed = {names["input_ids"]: ids}
        if "attention_mask" in names:
            lengths = np.array([len(r) for r in rows])
            feed[names["attention_mask"]] = (np.arange(ids.shape[1])[None, :] < lengths[:, None]).astype(kind)
        return self.session.run([names["output"]], feed)[0]

    def logits(self, texts: list, batch: int = 256, limit: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Logits of every window, and the text that each window belongs to; of each text's first `limit` tokens, if given."""
        specials = 2 if self.cls is not None else 0
        rows, owner = [], []
        for i, item in enumerate(self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)):
            for piece in windows(item.ids[: limit and limit - specials], self.width - specials, self.stride):
                rows.append([self.cls, *piece, self.sep] if specials else piece)
                owner.append(i)
        out = np.zeros((len(rows), len(LABELS)), np.float32)
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        for begin in range(0, len(order), batch):
            at = order[begin : begin + batch]
            out[at] = self.run([rows[i] for i in at])
        return out, np.array(owner)

    def scores(self, texts: list, limit: int | None = None) -> np.ndarray:
        """Calibrated probabilities; an over-long text has the maximum over its windows, label by label."""
        logits, owner = self.logits(texts, limit=limit)
        p = sigmoid(logits.astype(np.float64) * self.scale + self.bias)
        out = np.zeros((len(texts), len(LABELS)))
        np.maximum.at(out, owner, p)
        return out


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_manifest(folder: Path, name: str, languages: list, scale, bias, thresholds, cascade: dict | None = None,
                   specials: dict | None = None, mask: bool = False):
    """The manifest in the one form that serving accepts."""
    numbers = lambda values: "[" + ", ".join(f"{v:.6f}" for v in values) + "]"
    lines = [
        "format = 1", f'name = "{name}"', f'version = "{VERSION}"',
        "languages = [" + ", ".join(f'"{code}"' for code in languages) + "]", "",
        "[model]", 'file = "model.onnx"', f'sha256 = "{sha256(folder / "model.onnx")}"', 'input_ids = "input_ids"',
        *(['attention_mask = "attention_mask"'] if mask else []), 'output = "logits"', "",
        "[tokenizer]", 'file = "tokenizer.json"', f'sha256 = "{sha256(folder / "tokenizer.json")}"',
        f"max_tokens = {wordpiece.MAX_TOKENS}", f"stride = {wordpiece.STRIDE}",
        f"pad_id = {wordpiece.PAD}", *(f"{k} = {v}" for k, v in (specials or {}).items()), "lowercase = true", "",
        "[output]", "labels = [" + ", ".join(f'"{label}"' for label in LABELS) + "]", "",
        "[calibration]", f"scale = {numbers(scale)}", f"bias = {numbers(bias)}", "",
        "[thresholds]", *(f"{label} = {t:.2f}" for label, t in zip(LABELS, thresholds)), "",
    ]
    if cascade:
        lines += ["[cascade]", *(f"{label} = [{low:.2f}, {high:.2f}]" for label, (low, high) in cascade.items()), ""]
    (folder / "manifest.toml").write_text("\n".join(lines), encoding="utf-8")


def write_golden(folder: Path, texts: list):
    """Scores of texts taken exactly as they stand: no normalisation before the tokenizer."""
    scores = Model(folder).scores(texts)
    with (folder / "golden.jsonl").open("w", encoding="utf-8") as out:
        for text, row in zip(texts, scores):
            out.write(json.dumps({"text": text, "scores": [round(float(p), 6) for p in row]}, ensure_ascii=True) + "\n")
