"""Command line: `python -m train screen|deep|evaluate|golden --data DIR --out DIR`."""

import argparse
import json
import pickle
import time
from pathlib import Path

import numpy as np
import torch

from . import bundle, card, data, evaluate, golden, metrics, minilm, screen, wordpiece
from .labels import LABELS


def log(line: str):
    print(f"[{time.strftime('%H:%M:%S')}] {line}", flush=True)


def rows_of(args) -> data.Rows:
    """The rows, from the work folder's cache when there is one."""
    name = f"rows{'-research' if args.include_research else ''}{'-smoke' if args.smoke else ''}.pkl"
    cache = args.work / name
    if cache.exists() and not args.smoke:
        return pickle.loads(cache.read_bytes())
    rows = data.load(args.data, args.include_research, args.smoke)
    args.work.mkdir(parents=True, exist_ok=True)
    cache.write_bytes(pickle.dumps(rows))
    return rows


def held_out(rows: data.Rows) -> np.ndarray:
    return np.flatnonzero(rows.split != data.TRAIN)


def scored(folder: Path, rows: data.Rows, index: np.ndarray) -> np.ndarray:
    """Calibrated scores of the exported model itself, over the given rows."""
    return bundle.Model(folder, torch.get_num_threads()).scores([rows.text[i] for i in index])


def logits_of(folder: Path, rows: data.Rows, index: np.ndarray) -> np.ndarray:
    """Highest logit over the windows of each row."""
    values, owner = bundle.Model(folder, torch.get_num_threads()).logits([rows.text[i] for i in index])
    out = np.full((len(index), len(LABELS)), -np.inf)
    np.maximum.at(out, owner, values)
    return out


def finish(folder: Path, name: str, rows: data.Rows, cascade=None, specials=None, mask=False, smoke=False):
    """Calibration, thresholds, manifest, golden file and card, all from the exported file."""
    languages = sorted(set(rows.lang[rows.source == data.AUTHORED]))
    ones = np.ones(len(LABELS))
    write = lambda *values: bundle.write_manifest(folder, name, languages, *values, cascade, specials, mask)
    write(ones, ones * 0, ones * 0.5)
    index = held_out(rows)
    raw = logits_of(folder, rows, index)
    scale, bias, thresholds = evaluate.calibrate(rows, rows.split[index], raw, index)
    write(scale, bias, thresholds)
    authored = [rows.raw[i] for i in np.flatnonzero(rows.source == data.AUTHORED)]
    bundle.write_golden(folder, golden.texts(authored))
    text, figures = evaluate.report(rows, index, metrics.sigmoid(raw * scale + bias), thresholds)
    card.write(folder, name, rows, text)
    (folder / "CARD.md").exists() and print(text)
    log(f"authored macro-F1 {figures['headline']:.4f}, hate AUC {figures['hate_auc']:.4f}")
    return figures


def initial_vectors(net, tokenizer, packed, shape, pretrained: bool):
    """Token vectors from MiniLM (English pieces), pooling weights from frequency."""
    vocab = tokenizer.get_vocab()
    if pretrained:
        pieces = sorted(vocab, key=vocab.get)
        vectors, readable = minilm.piece_vectors(pieces, shape.dim)
        at = torch.from_numpy(readable)
        net.vectors.weight.data[at] = torch.from_numpy(vectors[readable]).float() * 0.3
    share = np.bincount(packed.ids, minlength=len(vocab)) + 1
    share = share / share.sum()
    net.weights.weight.data += torch.from_numpy(np.log(1e-3 / (1e-3 + share))).float()[:, None]


def train_screen(args):
    shape = screen.Shape()
    if args.smoke:
        shape.pieces, shape.epochs, shape.batch = 3000, 2, 64
    rows = rows_of(args)
    log(f"{len(rows.text)} rows from {len(set(rows.source))} sources")
    args.out.mkdir(parents=True, exist_ok=True)
    tokenizer = wordpiece.train(rows, shape.pieces)
    tokenizer.save(str(args.out / "tokenizer.json"))
    log(f"{tokenizer.get_vocab_size()} pieces")
    shape.pieces = tokenizer.get_vocab_size()
    made = screen.training_set(rows, tokenizer, shape)
    net = screen.Screen(shape, shape.pieces)
    initial_vectors(net, tokenizer, made[0], shape, pretrained=not args.smoke)
    soft = np.load(args.teacher) if args.teacher else None
    screen.fit(net, made, shape, log, soft=soft)
    screen.export(net, args.out / "model.onnx")
    cascade = json.loads(args.bands.read_text()) if args.bands else {label: (0.2, 0.8) for label in LABELS}
    finish(args.out, "screen", rows, cascade=cascade)


def show(args):
    rows = rows_of(args)
    index = held_out(rows)
    thresholds = bundle.Model(args.out).thresholds
    print(evaluate.report(rows, index, scored(args.out, rows, index), thresholds)[0])


def main():
    parser = argparse.ArgumentParser(prog="train", description=__doc__)
    parser.add_argument("what", choices=["screen", "deep", "evaluate", "golden"])
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.json, authored/ and train/")
    parser.add_argument("--out", type=Path, required=True, help="model folder to write or read")
    parser.add_argument("--work", type=Path, default=Path(".train-cache"), help="cache and checkpoints")
    parser.add_argument("--smoke", action="store_true", help="a few hundred rows, for checking the kit")
    parser.add_argument("--include-research", action="store_true", help="also sets not licensed for products; for comparison only")
    parser.add_argument("--teacher", type=Path, help="screen: soft labels (.npy) written by `deep`")
    parser.add_argument("--bands", type=Path, help="screen: cascade bands (.json) written by `deep`")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.what == "screen":
        train_screen(args)
    elif args.what == "deep":
        from . import deep

        deep.run(args, rows_of(args), finish, log)
    elif args.what == "evaluate":
        show(args)
    else:
        rows = rows_of(args)
        bundle.write_golden(args.out, golden.texts([rows.raw[i] for i in np.flatnonzero(rows.source == data.AUTHORED)]))


if __name__ == "__main__":
    main()
