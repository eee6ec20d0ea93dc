"""The deep model: MiniLM tuned on labels and on what its teachers think, exported with int8 matrix products."""

import time
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from . import encoders, prepare, store, wordpiece
from .data import AUTHORED, OWN
from .functional import PREFIX
from .labels import HEADLINE, INDEX, LABELS
from .metrics import auc, best_threshold, f1, sigmoid
from .pairs import Pairs, fit as fit_pairs
from .prepare import Pool
from .teacher import PLAIN, RECOMBINED, VALID, answers, keep_answers


@dataclass
class Plan:
    """How long and on how much the encoders are tuned. A round is one draw by `DRAWS`."""

    new_words: int = 6000
    limit: int = 64
    languages: tuple = ("en", "es", "pt", "fr", "de", "it", "hi", "ur", "tr", "id", "ru", "und")
    most: int = 9000
    watched: int = 100
    disguised: int = 3
    harmful: float = 0.45
    harmless: float = 0.15
    authored_weight: float = 2.0
    authored_times: float = 6.0
    share: float = 1.0
    # Teachers: how many, from which seed each, and how they are tuned.
    teachers: int = 2
    teacher_rounds: int = 3
    teacher_rate: float = 6e-5
    teacher_tokens: int = 8192
    # The model itself: inner units that stay in each layer, rounds, rates; the last share of its steps computes as the int8
    # export will.
    inner: int = 768
    rounds: int = 12
    rate: float = 5e-4
    head_rate: float = 2e-3
    tokens_a_step: int = 24576
    taught_weight: float = 2.0
    recombined: int = 45000
    whole_numbers: float = 0.15
    # Going on where rows of our own have come since: which layers stay (empty: all); of public sets and functional texts a small
    # share, and of our own rows, old and new, so many times as much.
    stay: tuple = ()
    further_share: float = 0.06
    further_times: float = 25.0
    further_rounds: int = 2
    further_rate: float = 1e-4
    further_tokens: int = 4096
    seed: int = 11

    def cap(self, name: str) -> int:
        """How many rows of a public set are prepared."""
        return max(self.most, DRAWS[name]) if name in DRAWS else 0


# How many rows of each public set one round draws (a set can be drawn more than once); unnamed sets are left out.
# Adversarial hate comes first: plain keyword-sampled sets teach the words, these teach what is done with them.
DRAWS = {
    "dynahate": 40000, "hatemoji_build": 10000, "toxigen_prompts": 1200, "implicit_hate": 6000, "hatexplain": 4500,
    "kurrek_slur_subset": 3500, "edos": 3000, "gab_hate_corpus": 3500, "toxic_spans_civil": 3000, "convabuse": 1900,
    "davidson": 2500, "stormfront": 2500, "wiki_toxicity_context": 1500, "fox_news_comments": 1200,
    "identity_madlibs": 1500, "online_misogyny": 1500, "mlma": 1500, "surge_toxicity": 800, "iwg_refugees": 300,
    "gahd": 6000, "jigsaw2020_multi": 4000, "told_br": 5000, "germeval2018": 3500, "germeval2021": 2000, "roman_urdu": 3000,
    "sms_spam": 9000, "instagram_scamspot": 3000, "youtube_spam": 3000, "janitr_x": 2500, "youtube_gambling_id": 2500,
    "smishing": 1800, "tg_spam_samples": 600, "telegram_spam_ru": 1500,
    "hint3": 2600, "complaints_tweets": 2400, "clinc150": 2000, "multidogo": 2000, "banking77": 1500,
    "bitext_support": 1500, "purchase_tweets": 1000, "cucom_ecommerce": 800, "purchase_posts_templated": 600,
    "goemotions": 6000, "cpsc_incidents": 800,
}
# A round draws functional texts so often.
FUNCTIONAL_TIMES = 1.5


WORDS = "encoder.words.weight"
PAIR_ROWS = 1 << 17


class Deep(nn.Module):
    """Encoder, mean over tokens, ten logits."""

    def __init__(self, encoder: encoders.Encoder):
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.form.hidden, len(LABELS))

    def forward(self, ids):
        mask = (ids != wordpiece.PAD).long()
        x = self.encoder(ids, mask).float() * mask[:, :, None]
        x = x.sum(1) / mask.sum(1, keepdim=True)
        return self.head(F.dropout(x, 0.1, self.training))


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


def _mixed(device: str, training: bool = False):
    """Products of sixteen bits on a GPU, and in training on a CPU that has the instructions: a third faster there, and many times
    slower on others."""
    here = training and torch.cpu.get_capabilities().get("avx512_bf16", False)
    return torch.autocast(device, torch.bfloat16, enabled=device != "cpu" or here)


@torch.no_grad()
def logits_of(net: Deep, texts: Texts, at: np.ndarray, device: str, budget: int = 65536) -> np.ndarray:
    net.eval()
    out = np.zeros((len(at), len(LABELS)), np.float32)
    place = np.empty(int(at.max()) + 1, np.int64)
    place[at] = np.arange(len(at))
    kept = []
    with _mixed(device):
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


def fit(net: Deep, pool: Pool, texts: Texts, goals: tuple, plan: Plan, rounds: int, rates: tuple, budget: int, seed: int,
        device: str, log, taught: bool = False, whole: float = 0.0, name: str = ""):
    """Masked weighted cross-entropy with AdamW over some rounds: the rate rises for a short while and falls to nothing."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    steps = [some for number in range(rounds) for some in
             steps_of(choose(pool, plan, number, rng, taught), texts.length, budget, rng)]
    longest = [int(texts.length[some].max()) for some in steps]
    ends = np.cumsum([0] + [len(some) for some in steps]).tolist()
    order = torch.from_numpy(np.concatenate(steps)).to(device)
    total, tokens = len(steps), int(sum(texts.length[some].sum() for some in steps))
    log(f"{name}: {ends[-1]} rows, {tokens / 1e6:.1f} M tokens, {total} steps")
    fast = list(net.head.parameters())
    slow = [p for p in net.encoder.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW([{"params": slow, "lr": 0.0}, {"params": fast, "lr": 0.0}], weight_decay=0.01, fused=True)
    target, weight = goals
    losses, began = [], time.time()
    net.train()
    for step in range(total):
        if whole and step == int(total * (1 - whole)):
            whole_numbers(net, ranges(net, pool, texts, device))
            net.train()
        share = min(1.0, (step + 1) / (0.06 * total)) * max(0.005, 1 - step / total)
        for group, peak in zip(optimizer.param_groups, rates):
            group["lr"] = peak * share
        at = order[ends[step] : ends[step + 1]]
        with _mixed(device, training=True):
            logits = net(texts.batch(at, longest[step]))
        loss = (F.binary_cross_entropy_with_logits(logits.float(), target[at], reduction="none") * weight[at]).sum() / len(at)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(slow + fast, 5.0)
        optimizer.step()
        losses.append(loss.detach())
        if (step + 1) % max(1, total // 5) == 0:
            log(f"{name}: step {step + 1}/{total} loss {float(torch.stack(losses).mean()):.4f} {time.time() - began:.0f} s")
            losses = []


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


def teach(pool: Pool, texts: Texts, plan: Plan, work, device: str, log) -> np.ndarray:
    """Mean logits of the teachers on every text of the pool; kept in the work folder teacher by teacher."""
    state, valid = None, np.flatnonzero(pool.kind == VALID)
    said = []
    for number in range(plan.teachers):
        path = work / f"taught-{number}.npy"
        if not path.exists():
            state = state or store.full_weights(store.load(work / "teacher.bin")[0])
            net = Deep(encoders.encoder(state, encoders.MPNET)).to(device)
            fit(net, pool, texts, goals_of(pool, None, plan, device), plan, plan.teacher_rounds, (plan.teacher_rate, 1e-3),
                plan.teacher_tokens, plan.seed + number, device, log, name=f"teacher {number + 1}")
            np.save(path, logits_of(net, texts, np.arange(len(pool.kind)), device).astype(np.float16))
        said.append(np.load(path).astype(np.float32))
        log(f"teacher {number + 1}: {figures(watch(pool, said[-1][valid], valid))}")
    mean = np.mean(said, 0)
    log(f"teachers together: {figures(watch(pool, mean[valid], valid))}")
    return mean


def student(pool: Pool, texts: Texts, start: dict, goals: tuple, plan: Plan, device: str, log, taught: bool) -> Deep:
    """The tuned network."""
    torch.manual_seed(plan.seed)
    form = replace(encoders.MINILM, inner=plan.inner, relu=True)
    net = Deep(encoders.encoder(encoders.pruned(start, form.inner), form)).to(device)
    fit(net, pool, texts, goals, plan, plan.rounds, (plan.rate, plan.head_rate), plan.tokens_a_step, plan.seed + 100, device, log,
        taught, plan.whole_numbers, "deep")
    valid = np.flatnonzero(pool.kind == VALID)
    log(f"deep: {figures(watch(pool, logits_of(net, texts, valid, device), valid))}")
    return net


def shortened(net: Deep, stay: tuple) -> Deep:
    """The same with only the layers in `stay` (empty: all). The ranges of the products are no longer known then."""
    if stay:
        net.encoder.layers = nn.ModuleList(net.encoder.layers[at] for at in stay)
        net.encoder.form = replace(net.encoder.form, layers=len(stay))
        for part in net.encoder.layers.modules():
            if isinstance(part, encoders.Product):
                part.span = None
    return net


def keep(net: Deep, path):
    """Word vectors as they are exported, other weights in sixteen bits, and the products' ranges."""
    spans = {name: part.span for name, part in net.named_modules() if isinstance(part, encoders.Product) and part.span}
    state = {k: v.detach().float().cpu().numpy() for k, v in net.state_dict().items()}
    words = store.round_weights({WORDS: state.pop(WORDS)}, 8)
    store.save(path, words | {k: v.astype(np.float16) for k, v in state.items()},
               {"spans": spans, "form": asdict(net.encoder.form)})


def kept(path) -> Deep:
    """What `keep` wrote."""
    arrays, notes = store.load(path)
    state = {k: torch.from_numpy(v.astype(np.float32)) for k, v in store.full_weights(arrays).items()}
    net = Deep(encoders.Encoder(len(state[WORDS]), encoders.Form(**notes["form"])))
    net.load_state_dict(state)
    for name, span in notes["spans"].items():
        net.get_submodule(name).span = tuple(span)
    return net.eval()


def tune(plan: Plan, work, device: str, log):
    """Teachers, then the model, from `prepared.bin` (and `teacher.bin`) of the work folder to its `deep.bin`."""
    torch.set_float32_matmul_precision("high")
    pool, _, start = prepare.read(work / "prepared.bin")
    texts = Texts(pool, device)
    if plan.teachers and not (work / "soft.bin").exists():
        keep_answers(work, teach(pool, texts, plan, work, device, log))
    soft = answers(work) if plan.teachers else None
    goals = goals_of(pool, soft, plan, device)
    keep(student(pool, texts, start, goals, plan, device, log, soft is not None), work / "deep.bin")


class Ranges:
    """Least and greatest input of every product, as batches of training texts show them."""

    def __init__(self, net: Deep):
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
def ranges(net: Deep, pool: Pool, texts: Texts, device: str, count: int = 600) -> dict:
    """Activation ranges over some training texts; padding is left out by running equal lengths together."""
    seen = Ranges(net)
    net.eval()
    some = np.random.default_rng(1).choice(np.flatnonzero(pool.kind == PLAIN), count)
    with _mixed(device):
        for length in np.unique(texts.length[some]):
            net(texts.batch(torch.from_numpy(some[texts.length[some] == length]).to(device), int(length)))
    return seen.done()


def whole_numbers(net: Deep, spans: dict):
    """From here on the products are computed as the int8 export computes them."""
    for name, part in net.encoder.layers.named_modules():
        if isinstance(part, encoders.Product):
            part.span = spans[name]


def pairs_of(pool: Pool, pieces: int, log) -> Pairs:
    """From the labels of rows and their first obfuscated copies. Hate is left to the encoder: words tell it badly."""
    labelled = pool.kind <= PLAIN + 1
    weight = np.where(labelled[:, None], pool.weight, 0.0)
    return fit_pairs(pool.ids, pool.length, pool.target, weight, pool.source, pieces, PAIR_ROWS, 0.0, log)


@torch.inference_mode()
def export(net: Deep, pairs: Pairs, path, bits: int = 7):
    """Writes the ONNX graph: float products where a layer has no `span`, else u8 activations (fixed scale) by s8 weights.

    Fixed scales keep a text's score the same alone and in a batch, which scales taken from the whole batch do
    not. Weights use seven bits, so that the products cannot saturate on machines without VNNI. Everything
    between the products is two-dimensional, which also keeps the runtime from fusing Add with LayerNormalization
    (slower on CPU).
    """
    from onnx import TensorProto

    from .graph import RUNTIME, Graph, ids_input, logits_output

    g = Graph()
    form = net.encoder.form
    hidden = form.hidden
    ints = lambda *v: g.constant(np.array(v, np.int64))
    array = lambda t: t.detach().numpy().astype(np.float32)

    def linear(x, layer: encoders.Product):
        w, b = array(layer.weight).T, g.constant(array(layer.bias))
        if layer.span is None:
            return g.node("Add", [g.node("MatMul", [x, g.constant(w)]), b])
        low, high = layer.span
        zero = g.constant(np.array(int(np.clip(round(-low * 255.0 / (high - low)), 0, 255)), np.uint8))
        scale = g.constant(np.array((high - low) / 255.0, np.float32))
        top = 2 ** (bits - 1) - 1
        steps = np.maximum(np.abs(w).max(0), 1e-9) / top
        q = g.constant(np.clip(np.rint(w / steps), -top, top).astype(np.int8))
        taken = g.node("QuantizeLinear", [x, scale, zero])
        return g.node("MatMulIntegerToFloat", [taken, q, scale, g.constant(steps.astype(np.float32)), zero, "", b], domain=RUNTIME)

    def norm(x, layer: nn.LayerNorm):
        return g.node("LayerNormalization", [x, g.constant(array(layer.weight)), g.constant(array(layer.bias))],
                      axis=-1, epsilon=1e-12)

    table = array(net.encoder.words.weight)
    step = np.maximum(np.abs(table).max(1, keepdims=True), 1e-9) / 127.0
    picked = g.node("Cast", [g.node("Gather", [g.constant(np.rint(table / step).astype(np.int8)), "input_ids"])],
                    to=TensorProto.FLOAT)
    words = g.node("Mul", [picked, g.node("Gather", [g.constant(step.astype(np.float32)), "input_ids"])])
    shape = g.node("Shape", ["input_ids"])
    length = g.node("Slice", [shape, ints(1), ints(2)])
    places = g.node("Slice", [g.constant(array(net.encoder.places.weight[: wordpiece.MAX_TOKENS])), ints(0), length, ints(0)])
    flat, cube = ints(-1, hidden), g.node("Concat", [shape, ints(hidden)], axis=0)
    x = norm(g.node("Reshape", [g.node("Add", [words, places]), flat]), net.encoder.norm)
    mask = g.node("Cast", ["attention_mask"], to=TensorProto.FLOAT)
    # Attention piece by piece: with the runtime's operator for it the whole model takes an eighth longer.
    hidden_by = g.node("Unsqueeze", [g.node("Mul", [g.node("Sub", [mask, g.constant(np.array(1, np.float32))]),
                                                    g.constant(np.array(1e4, np.float32))]), ints(1, 2)])
    five = g.node("Concat", [shape, ints(3, form.heads, hidden // form.heads)], axis=0)
    turned = lambda x, *places: g.node("Transpose", [x], perm=list(places))
    for layer in net.encoder.layers:
        qkv = turned(g.node("Reshape", [linear(x, layer.qkv), five]), 2, 0, 3, 1, 4)
        q, k, v = (g.node("Gather", [qkv, ints(part)], axis=0) for part in range(3))
        near = g.node("FusedMatMul", [q, k], domain=RUNTIME, transB=1, alpha=(hidden // form.heads) ** -0.5)
        near = g.node("Softmax", [g.node("Add", [near, hidden_by])], axis=-1)
        mixed = g.node("Reshape", [turned(g.node("MatMul", [near, v]), 0, 1, 3, 2, 4), flat])
        mixed = linear(mixed, layer.out)
        x = norm(g.node("Add", [x, mixed]), layer.norm1)
        up = linear(x, layer.up)
        up = g.node("Relu", [up]) if form.relu else g.node("Gelu", [up], domain=RUNTIME)
        x = norm(g.node("Add", [x, linear(up, layer.down)]), layer.norm2)
    weighted = g.node("Mul", [g.node("Reshape", [x, cube]), g.node("Unsqueeze", [mask, ints(2)])])
    mean = g.node("Div", [g.node("ReduceSum", [weighted, ints(1)], keepdims=0),
                          g.node("ReduceSum", [mask, ints(1)], keepdims=1)])
    said = g.node("Gemm", [mean, g.constant(array(net.head.weight).T), g.constant(array(net.head.bias))])
    sums = g.node("ReduceSum", [g.node("Gather", [pairs.columns(g), "input_ids"]), ints(1)], keepdims=0)
    g.node("Add", [said, pairs.logits(g, "input_ids", np.int64, sums)], "logits")
    g.save(path, [ids_input("input_ids", TensorProto.INT64), ids_input("attention_mask", TensorProto.INT64)],
           [logits_output(len(LABELS))])
