"""Goes on with the tuned `deep` where rows of our own, or of a brand, have come since it was prepared: two cores, no teacher."""

from dataclasses import replace

import numpy as np
import torch

from . import deep, prepare, tuning
from .data import AUTHORED, OWN, TRAIN, VALIDATION, Rows, augmented
from .plan import Plan
from .prepare import Pool
from .teacher import PLAIN, VALID, answers


def come_since(texts: list, rows: Rows, tokenizer, plan: Plan) -> Pool | None:
    """The rows of our own that are not among `texts`, and their obfuscated copies; nothing if there are none. They go by the
    name of a brand's own, so that what is watched of authored rows stays comparable."""
    have = set(texts)
    lacks = np.array([text not in have for text in rows.text]) & np.isin(rows.source, (AUTHORED, OWN))
    train, valid = (np.flatnonzero(lacks & (rows.split == split)) for split in (TRAIN, VALIDATION))
    if not len(train):
        return None
    parts = [([rows.text[i] for i in train], train, PLAIN), ([rows.text[i] for i in valid], valid, VALID)]
    for number in range(1, plan.disguised + 1):
        parts.append((*augmented(rows, train, plan.seed + number, plan.harmful, plan.harmless), number))
    origin = np.concatenate([at for _, at, _ in parts])
    texts, kind = [text for some, _, _ in parts for text in some], [np.full(len(at), way, np.uint8) for _, at, way in parts]
    pool = prepare.pool_of(rows, texts, origin, np.concatenate(kind), tokenizer, plan)
    return replace(pool, source=np.full(len(origin), OWN))


def tune(old: Pool, new: Pool | None, plan: Plan, work, device: str, log):
    """From `deep.bin` of the work folder to its `further.bin`; the path of what was tuned. It computes as the int8 export does
    from the first step, unless layers were left out."""
    soft = answers(work)
    if new is None and not plan.stay:
        raise SystemExit("further: no training rows have come since the work folder was prepared; add some with --own")
    goals, pool = tuning.goals_of(old, soft, plan, device), old
    if new is not None:
        goals = tuple(torch.cat(pair) for pair in zip(goals, tuning.goals_of(new, None, plan, device)))
        pool = prepare.joined(old, new)
    texts, net = tuning.Texts(pool, device), deep.kept(work / "deep.bin").to(device)
    valid = np.flatnonzero(pool.kind == VALID)
    told = lambda: tuning.figures(tuning.watch(pool, tuning.logits_of(net, texts, valid, device), valid))
    log(f"{len(pool.kind) - len(old.kind)} new texts; before: {told()}")
    whole = 0.0 if net.encoder.layers[0].qkv.span else plan.whole_numbers
    plan = replace(plan, share=plan.further_share, authored_times=plan.further_times)
    tuning.fit(net, pool, texts, goals, plan, plan.further_rounds, (plan.further_rate, 5 * plan.further_rate), plan.further_tokens,
               plan.seed + 200, device, log, taught=soft is not None, whole=whole, name="further")
    log(f"after: {told()}")
    path = work / "further.bin"
    deep.keep(net, path)
    return path
