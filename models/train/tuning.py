"""Tuning an encoder: what a round draws, batches, steps, figures on validation rows, and the int8 arithmetic of the export."""

import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from . import encoders, recorded, wordpiece
from .data import AUTHORED, OWN
from .functional import PREFIX
from .labels import HEADLINE, INDEX, LABELS
from .metrics import auc, best_threshold, f1, sigmoid
from .plan import DRAWS, FUNCTIONAL_TIMES, Plan
from .prepare import Pool
from .teacher import PLAIN, RECOMBINED


class Texts:
    """A pool's texts where the network is; gives padded batches."""

    def __init__(self, pool: Pool, device: str):
        self.length = pool.length.astype(np.int64)
        self.ids = torch.from_numpy(pool.ids.astype(np.int32)).to(device)
        self.starts = torch.from_numpy(np.concatenate([[0], np.cumsum(self.length)[:-1]])).to(device)
        self.lengths = torch.from_numpy(self.length).to(device)

    def batch(self, at: torch.Tensor, longest: int) -> torch.Tensor:
        offset = torch.arange(longest, device=at.device)[None, :]
        inside = offset < self.lengths[at][:, None]
        where = torch.where(inside, self.starts[at][:, None] + offset, 0)
        return torch.where(inside, self.ids[where], wordpiece.PAD).long()


def steps_of(order: np.ndarray, length: np.ndarray, budget: int, rng) -> list:
    """Batches of similar length with at most `budget` padded tokens, in random order."""
    out = []
    chunk_size = max(8192, budget)
    for begin in range(0, len(order), chunk_size):
        chunk = order[begin : begin + chunk_size]
        chunk = chunk[np.argsort(length[chunk] + rng.random(len(chunk)))]
        sizes, start = length[chunk].tolist(), 0
        for stop in range(1, len(chunk) + 1):
            if stop == len(chunk) or (stop - start + 1) * sizes[stop] > budget:
                out.append(chunk[start:stop])
                start = stop
    rng.shuffle(out)
    return out


def drawn(name: str, size: int, plan: Plan) -> float:
    """How many rows of a source one round draws; a brand's own labels count as authored ones."""
    if name in (AUTHORED, OWN):
        return size * plan.authored_times
    if name.startswith(PREFIX):
        return size * FUNCTIONAL_TIMES
    return plan.recombined if name == RECOMBINED else DRAWS.get(name, 0)


def choose(pool: Pool, plan: Plan, number: int, rng, taught: bool) -> np.ndarray:
    """Rows of one round, well mixed: whole draws of a source first, then a part. Obfuscated copies change from round to round."""
    variant = 1 + number % plan.disguised if plan.disguised else 0
    usable = (pool.kind == PLAIN) | (pool.kind == variant)
    parts = []
    for name in np.unique(pool.source):
        at = np.flatnonzero(usable & (pool.source == name))
        if not len(at) or (name == RECOMBINED and not taught):
            continue
        wanted = int(plan.share * drawn(str(name), len(at), plan))
        rounds, rest = divmod(wanted, len(at))
        parts += [at] * rounds + [rng.choice(at, rest, replace=False)]
    order = np.concatenate(parts)
    rng.shuffle(order)
    return order


def mixed(device: str, training: bool = False):
    """Products of sixteen bits on a GPU, and in training on a CPU that has the instructions: a third faster there, and many times
    slower on others."""
    here = training and torch.cpu.get_capabilities().get("avx512_bf16", False)
    return torch.autocast(device, torch.bfloat16, enabled=device != "cpu" or here)


@torch.no_grad()
def logits_of(net, texts: Texts, at: np.ndarray, device: str, budget: int = 65536) -> np.ndarray:
    net.eval()
    out = np.zeros((len(at), len(LABELS)), np.float32)
    place = np.empty(int(at.max()) + 1, np.int64)
    place[at] = np.arange(len(at))
    kept = []
    with mixed(device):
        for some in steps_of(at, texts.length, budget if device != "cpu" else 4096, np.random.default_rng(0)):
            rows = torch.from_numpy(some).to(device)
            kept.append((some, net(texts.batch(rows, int(texts.length[some].max())))))
    for some, values in kept:
        out[place[some]] = values.float().cpu().numpy()
    return out


def watch(pool: Pool, logits: np.ndarray, at: np.ndarray) -> dict:
    """Figures on validation rows, by which runs are compared: thresholds are the best on the same rows."""
    p, target, known = sigmoid(logits), pool.target[at], pool.weight[at] >= 0.5
    source = pool.source[at]
    own = source == AUTHORED
    best = lambda k, i: f1(target[k, i], p[k, i] >= best_threshold(target[k, i], p[k, i])) if target[k, i].any() else 0.0
    found = {"macro-F1": float(np.mean([best(own, INDEX[label]) for label in HEADLINE])),
             "AUC": float(np.mean([auc(target[own, INDEX[label]], p[own, INDEX[label]]) for label in HEADLINE]))}
    hate, spam = INDEX["hate"], INDEX["spam"]
    made = np.char.startswith(source, PREFIX) & known[:, hate]
    if made.any():
        bar = best_threshold(target[made, hate], p[made, hate])
        right = (p[:, hate] >= bar) == (target[:, hate] > 0)
        found["found"], found["passed"] = (float(right[made & (target[:, hate] == half)].mean()) for half in (1, 0))
    at = source == "dynahate"
    if at.any():
        found["dynahate"] = float(max(((p[at, hate] >= t) == target[at, hate]).mean() for t in np.arange(0.2, 0.8, 0.02)))
    public = [auc(target[k, hate], p[k, hate]) for name in np.unique(source) if name != AUTHORED and not name.startswith(PREFIX)
              for k in [(source == name) & known[:, hate]] if 8 <= target[k, hate].sum() <= k.sum() - 8]
    found["hate AUC"] = float(np.mean(public)) if public else 0.0
    at = (source == "sms_spam") & known[:, spam]
    if at.any() and 0 < target[at, spam].sum() < at.sum():
        found["sms"] = float((p[at, spam][target[at, spam] == 1] > p[at, spam][target[at, spam] == 0].max()).mean())
    return found


def altered(ids: torch.Tensor, stock: torch.Tensor) -> torch.Tensor:
    """Texts that nobody labelled: of each row the beginning with another row's end, or with pieces of other texts (`stock`) here and
    there."""
    rows, longest = ids.shape
    place = torch.arange(longest, device=ids.device)[None, :]
    chance = lambda *shape: torch.rand(shape, device=ids.device)
    length = (ids != wordpiece.PAD).sum(1, keepdim=True)
    spliced = torch.where(place < 1 + (chance(rows, 1) * (length - 1)).long(), ids, ids.roll(1, 0))
    end = (spliced != wordpiece.PAD).sum(1, keepdim=True) - 1
    spliced = spliced.scatter(1, end, ids.gather(1, length - 1))
    other = stock[(chance(rows, longest) * len(stock)).long()].long()
    swapped = (place > 0) & (place < length - 1) & (chance(rows, longest) < 0.05 + 0.25 * chance(rows, 1)) & (other >= len(wordpiece.SPECIALS))
    return torch.where(chance(rows, 1) < 0.5, spliced, torch.where(swapped, other, ids))


def schedule(pool: Pool, length: np.ndarray, plan: Plan, rounds: int, budget: int, seed: int, taught: bool, grain: int) -> tuple:
    """Rows, their weight (0 fills a batch up), and the (rows, longest) of each step. With a `grain` above 1 lengths are rounded
    up to it and batches of one length have one size."""
    rng = np.random.default_rng(seed)
    length = -(-length // grain) * grain
    order, real, shapes = [], [], []
    for number in range(rounds):
        for some in steps_of(choose(pool, plan, number, rng, taught), length, budget, rng):
            longest = int(length[some].max())
            size = budget // longest if grain > 1 else len(some)
            order.append(np.pad(some, (0, size - len(some)), mode="wrap"))
            real.append(np.arange(size) < len(some))
            shapes.append((size, longest))
    return np.concatenate(order), np.concatenate(real), shapes


def fit(net, pool: Pool, texts: Texts, goals: tuple, plan: Plan, rounds: int, rates: tuple, budget: int, seed: int,
        device: str, log, taught: bool = False, whole: float = 0.0, name: str = "", teachers: list | tuple = ()):
    """Masked weighted cross-entropy with AdamW over some rounds: the rate rises for a short while and falls to nothing. Where
    `teachers` are at hand, every second text is altered, and what they think of it is the goal."""
    torch.manual_seed(seed)
    gpu = device != "cpu"
    order, real, shapes = schedule(pool, texts.length, plan, rounds, budget, seed, taught, 8 if gpu else 1)
    total, ends = len(shapes), np.cumsum([0] + [size for size, _ in shapes]).tolist()
    log(f"{name}: {int(real.sum())} rows, {texts.length[order[real]].sum() / 1e6:.1f} M tokens, {total} steps")
    order, real = torch.from_numpy(order).to(device), torch.from_numpy(real).float().to(device)
    fast = list(net.head.parameters())
    slow = [p for p in net.encoder.parameters() if p.requires_grad]
    # A recorded step reads its rates where they lie.
    groups = [{"params": part, "lr": torch.zeros((), device=device)} for part in (slow, fast)]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01, fused=True, capturable=gpu)
    target, weight = goals
    lost = torch.zeros((), device=device)

    def step(longest, at, real):
        ids, goal, load = texts.batch(at, longest), target[at], weight[at] * real[:, None]
        if teachers:
            changed = altered(ids[1::2], texts.ids)
            with torch.no_grad():
                said = torch.stack([teacher(changed).float() for teacher in teachers]).mean(0)
            ids, goal = torch.cat([ids[::2], changed]), torch.cat([goal[::2], said.sigmoid()])
            load = torch.cat([load[::2], plan.taught_weight * real[1::2, None].expand_as(said)])
        with mixed(device, training=True):
            logits = net(ids)
        loss = (F.binary_cross_entropy_with_logits(logits.float(), goal, reduction="none") * load).sum() / real.sum()
        optimizer.zero_grad(set_to_none=False)
        loss.backward()
        nn.utils.clip_grad_norm_(slow + fast, 5.0)
        optimizer.step()
        lost.add_(loss.detach())

    steps = recorded.Steps(step, device)
    began, since = time.time(), 0
    net.train()
    for number, (size, longest) in enumerate(shapes):
        if whole and number == int(total * (1 - whole)):
            whole_numbers(net, ranges(net, pool, texts, device))
            steps.forget()
            net.train()
        share = min(1.0, (number + 1) / (0.06 * total)) * max(0.005, 1 - number / total)
        for group, peak in zip(optimizer.param_groups, rates):
            group["lr"].fill_(peak * share)
        part = slice(ends[number], ends[number + 1])
        steps(longest, order[part], real[part])
        if (number + 1) % max(1, total // 5) == 0:
            log(f"{name}: step {number + 1}/{total} loss {float(lost) / (number + 1 - since):.4f} {time.time() - began:.0f} s")
            since = number + 1
            lost.zero_()


def goals_of(pool: Pool, soft: np.ndarray | None, plan: Plan, device: str) -> tuple:
    """Targets and weights. Cross-entropy is linear in its target: what teachers think is mixed into both."""
    target, weight = pool.target.astype(np.float32), pool.weight.copy()
    if soft is not None:
        total = weight + plan.taught_weight
        target = (weight * target + plan.taught_weight * sigmoid(soft)) / total
        weight = total
    return tuple(torch.from_numpy(np.ascontiguousarray(a, np.float32)).to(device) for a in (target, weight))


def figures(found: dict) -> str:
    return " ".join(f"{name} {value:.3f}" for name, value in found.items())


class Ranges:
    """Least and greatest input of every product, as batches of training texts show them."""

    def __init__(self, net):
        self.low, self.high = {}, {}
        self.hooks = [
            part.register_forward_pre_hook(lambda _m, x, name=name: self.see(name, x[0]))
            for name, part in net.encoder.layers.named_modules() if isinstance(part, encoders.Product)]

    def see(self, name, x):
        self.low.setdefault(name, []).append(float(x.min()))
        self.high.setdefault(name, []).append(float(x.max()))

    def done(self) -> dict:
        """Means over batches with a tenth to spare: one odd text must not coarsen every other."""
        for hook in self.hooks:
            hook.remove()
        return {name: (min(0.0, float(np.mean(self.low[name])) * 1.1), max(0.0, float(np.mean(self.high[name])) * 1.1))
                for name in self.low}


@torch.no_grad()
def ranges(net, pool: Pool, texts: Texts, device: str, count: int = 600) -> dict:
    """Activation ranges over some training texts; padding is left out by running equal lengths together."""
    seen = Ranges(net)
    net.eval()
    some = np.random.default_rng(1).choice(np.flatnonzero(pool.kind == PLAIN), count)
    with mixed(device):
        for length in np.unique(texts.length[some]):
            net(texts.batch(torch.from_numpy(some[texts.length[some] == length]).to(device), int(length)))
    return seen.done()


def whole_numbers(net, spans: dict):
    """From here on the products are computed as the int8 export computes them."""
    for name, part in net.encoder.layers.named_modules():
        if isinstance(part, encoders.Product):
            part.span = spans[name]
