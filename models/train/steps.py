"""The steps of a deep model, from rows to a folder that serving reads; what the work folder holds is not done again."""

import ast
import shutil
from dataclasses import replace

from . import deep, further, prepare, readback, store, wordpiece
from .plan import Plan


def run(args, rows, finish, log):
    """The whole way: prepare, tune, export, calibrate; what the work folder holds already is not done again. Measured on at
    most 200 held-out rows of each public set."""
    plan, work = plan_of(args), args.work
    if args.smoke:
        work = args.work / "smoke"
        if args.what != "further":
            shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "prepared.bin").exists():
        prepare.run(rows(own=args.what != "further"), plan, work, args.teachers, log, args.start, args.threads)
    if args.what == "prepare":
        return None
    if args.what != "tune" and args.start and not args.teachers and not (work / "deep.bin").exists():
        deep.keep(deep.shortened(readback.network(args.start), plan.stay), work / "deep.bin")
    if args.what == "tune" or not (work / "deep.bin").exists():
        deep.tune(plan, work, args.device, log)
    if args.what == "tune":
        return None
    tuned, (old, pieces, _) = work / "deep.bin", prepare.read(work / "prepared.bin")
    new = further.come_since(store.load(work / "texts.bin")[1]["texts"], rows(), wordpiece.blank(pieces), plan)
    if args.what == "further":
        tuned = further.tune(old, new, plan, work, args.device, log)
    pool = prepare.joined(old, new) if new else old
    args.out.mkdir(parents=True, exist_ok=True)
    wordpiece.blank(pieces).save(str(args.out / "tokenizer.json"))
    deep.export(deep.kept(tuned), deep.pairs_of(pool, len(pieces), log), args.out / "model.onnx")
    return finish(args.out, "deep", rows(), specials={"cls_id": prepare.CLS, "sep_id": prepare.SEP}, mask=True, most=200)


def plan_of(args) -> Plan:
    """The plan, with the values that `--set` gives; without teachers the model learns from labels alone."""
    if args.smoke:
        return Plan(new_words=50, share=0.002, limit=24, teachers=0, rounds=1, tokens_a_step=512, most=50, further_share=0.01,
                    further_rounds=1)
    taught = args.teachers or args.start or (args.work / "teacher.bin").exists() or (args.work / "soft.bin").exists()
    plan = Plan() if taught else Plan(teachers=0)
    given = dict(item.split("=", 1) for item in args.set)
    return replace(plan, **{name: ast.literal_eval(value) for name, value in given.items()})
