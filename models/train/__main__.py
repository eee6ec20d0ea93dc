"""Command line: `python -m train deep|screen|bands|evaluate --data DIR --out DIR`."""

import argparse
import functools
import pickle
import time
from pathlib import Path

import numpy as np
import torch

from . import bands, bundle, card, data, evaluate, functional, goals, golden, left_out, metrics, screen, steps, teacher, wordpiece
from .labels import LABELS


# A language is named in the manifest when the six routing labels reach this macro-F1 on held-out authored rows.
SHOWN = 0.5


def log(line: str):
    print(f"[{time.strftime('%H:%M:%S')}] {line}", flush=True)


def rows_of(args, own: bool = True) -> data.Rows:
    """The rows, from the work folder's cache when there is one; with a brand's own, if `own`."""
    named = args.own if own else None
    name = f"rows{'-research' if args.include_research else ''}{'-smoke' if args.smoke else ''}.pkl"
    cache = args.work / name
    if cache.exists() and not args.smoke and not named:
        return pickle.loads(cache.read_bytes())
    rows = data.load(args.data, args.include_research, args.smoke, named)
    args.work.mkdir(parents=True, exist_ok=True)
    if not named:
        cache.write_bytes(pickle.dumps(rows))
    return rows


def held_out(rows: data.Rows, most: int | None = None) -> np.ndarray:
    """Validation and test rows; at most `most` of each public set and split (of authored, functional and the headline sets all)."""
    index = np.flatnonzero(rows.split != data.TRAIN)
    if most is None:
        return index
    rng, parts = np.random.default_rng(4), []
    for name in np.unique(rows.source[index]):
        for split in (data.VALIDATION, data.TEST):
            at = index[(rows.source[index] == name) & (rows.split[index] == split)]
            whole = name in (data.AUTHORED, data.OWN, "dynahate", "sms_spam") or name.startswith(functional.PREFIX)
            parts.append(at if whole or len(at) <= most else rng.choice(at, most, replace=False))
    return np.sort(np.concatenate(parts))


def logits_of(folder: Path, rows: data.Rows, index: np.ndarray) -> np.ndarray:
    """Highest logit over the windows of each row."""
    values, owner = bundle.Model(folder, torch.get_num_threads()).logits([rows.text[i] for i in index])
    out = np.full((len(index), len(LABELS)), -np.inf)
    np.maximum.at(out, owner, values)
    return out


def finish(folder: Path, name: str, rows: data.Rows, cascade=None, specials=None, mask=False,
           most: int | None = None):
    """Calibration, thresholds, manifest, golden file and card, all from the exported file."""
    write = lambda languages, *values: bundle.write_manifest(
        folder, name, languages, *values, cascade, specials, mask)
    ones = np.ones(len(LABELS))
    write(["en"], ones, ones * 0, ones * 0.5)
    index = held_out(rows, most)
    raw = logits_of(folder, rows, index)
    scale, bias, thresholds = evaluate.calibrate(rows, rows.split[index], raw, index,
                                                  evaluate.SCREEN_SHARES if name == "screen" else evaluate.SHARES)
    p = metrics.sigmoid(raw * scale + bias)
    text, figures = evaluate.report(rows, index, p, thresholds)
    shown = [code for code, score in figures["languages"].items() if score >= SHOWN]
    write(shown or ["en"], scale, bias, thresholds)
    model = bundle.Model(folder, torch.get_num_threads())
    text += "\n" + goals.report(rows, index, p, thresholds, model.scores)
    authored = [rows.raw[i] for i in np.flatnonzero(rows.source == data.AUTHORED)]
    bundle.write_golden(folder, golden.texts(authored))
    card.write(folder, name, rows, text)
    print(text)
    log(f"authored macro-F1 {figures['headline']:.4f}, hate AUC {figures['hate_auc']:.4f}")
    return figures


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
    lessons = teacher.lessons(rows, args.work, log, args.teacher, args.threads)
    made = screen.training_set(rows, tokenizer, shape, lessons)
    screen.export(*screen.learn(made, tokenizer, shape, not args.smoke, log), args.out / "model.onnx")
    finish(args.out, "screen", rows, cascade=bands.DEFAULT)


def show(args):
    rows = rows_of(args)
    index = held_out(rows, 200 if args.out.name == "deep" else None)
    model = bundle.Model(args.out, torch.get_num_threads())
    p = model.scores([rows.text[i] for i in index])
    print(evaluate.report(rows, index, p, model.thresholds)[0])
    print(goals.report(rows, index, p, model.thresholds, model.scores))


def main():
    parser = argparse.ArgumentParser(prog="train", description=__doc__)
    parser.add_argument("what", choices=["deep", "further", "screen", "bands", "evaluate", "left-out", "prepare", "tune"],
                        help="prepare and tune: the first two steps of deep, alone; further: deep again, with rows that came since; "
                             "left-out: screen's recipe without one video, or a fifth of the text messages")
    parser.add_argument("--data", type=Path, help="folder with manifest.json, authored/ and train/ (all but tune)")
    parser.add_argument("--out", type=Path, help="model folder to write or read (all but prepare and tune; left-out reads its tokenizer)")
    parser.add_argument("--work", type=Path, default=Path(".train-cache"), help="prepared rows and what was learned from them")
    parser.add_argument("--smoke", action="store_true", help="a few hundred rows and steps, for checking the kit")
    parser.add_argument("--include-research", action="store_true", help="also sets not licensed for products; for comparison only")
    parser.add_argument("--own", type=Path, help="a brand's own labelled messages (JSON lines), as extra rows")
    parser.add_argument("--teachers", type=Path, help="deep: folder with all-mpnet-base-v2, of which its teachers are made")
    parser.add_argument("--from", dest="start", type=Path, help="deep, further, prepare: a deep model's folder, to begin from and to learn from")
    parser.add_argument("--teacher", type=Path, help="screen: a deep model's folder, to be asked about more texts")
    parser.add_argument("--deep", type=Path, default=Path("deep"), help="bands: the deep model's folder")
    parser.add_argument("--device", default="cpu", help="deep: cpu or cuda")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="deep: other values of deep.Plan")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    if args.data is None and args.what != "tune" or args.out is None and args.what not in ("prepare", "tune"):
        parser.error("--data and --out are needed")
    torch.set_num_threads(args.threads)
    if args.what == "screen":
        train_screen(args)
    elif args.what in ("deep", "further", "prepare", "tune"):
        steps.run(args, functools.cache(lambda own=True: rows_of(args, own)), finish, log)
    elif args.what == "evaluate":
        show(args)
    elif args.what == "left-out":
        print(left_out.report(rows_of(args), args.data, wordpiece.read(args.out / "tokenizer.json"), args.smoke, log))
    else:
        rows = rows_of(args)
        bands.show(args.out, args.deep, rows, held_out(rows, 150), log)


if __name__ == "__main__":
    main()
