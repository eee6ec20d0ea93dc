"""The deep model: MiniLM fine-tuned on the same rows, exported with int8 matrix products."""

import math
import shutil
import time
import unicodedata
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from . import minilm, wordpiece
from .data import AUTHORED, OWN, TRAIN, VALIDATION, Rows, augmented, row_weights
from .functional import PREFIX
from .labels import HEADLINE, INDEX, LABELS
from .metrics import auc
from .screen import Packed

CLS, SEP = 2, 3


@dataclass
class Plan:
    """How long and on how much the encoder is tuned."""

    new_words: int = 6000
    limit: int = 56
    tokens_a_step: int = 1280
    authored_times: float = 4.0
    share: float = 1.0
    frozen_layers: int = 2
    languages: tuple = ("en", "es", "pt", "fr", "de", "it", "hi", "tr", "id", "und")
    authored_weight: float = 2.0
    rate: float = 1.5e-4
    head_rate: float = 2e-3
    # The first pass is left here, its rate still high; the second brings it down to nothing.
    leave_at: int | None = 3200
    polish_steps: int = 640
    polish_share: float = 0.12
    polish_authored_times: float = 2.0
    polish_rate: float = 7e-5
    polish_head_rate: float = 7e-4
    polish_harmful: float = 0.3
    seed: int = 11


def vocabulary(rows: Rows, plan: Plan) -> tuple[dict, np.ndarray]:
    """Vocabulary and vectors: pieces in use, then emoji and frequent words that MiniLM would shatter (mean of their pieces or of their names)."""
    reader = minilm.tokenizer()
    base = reader.get_vocab()
    vectors = minilm.tensors()["embeddings.word_embeddings.weight"]
    texts = [t[:400] for t in wordpiece._corpus(rows, plan.seed)]
    used, words = Counter(), Counter()
    for begin in range(0, len(texts), 20000):
        for item in reader.encode_batch(texts[begin : begin + 20000], add_special_tokens=False):
            used.update(item.ids)
    split = wordpiece.blank({"[UNK]": 0})
    for text in texts:
        for word, _ in split.pre_tokenizer.pre_tokenize_str(split.normalizer.normalize_str(text)):
            words[word] += 1
    keep = [t for t, i in base.items() if t not in wordpiece.SPECIALS and (used[i] >= 4 or len(t.removeprefix("##")) == 1)]
    keep.sort(key=base.get)
    shattered = []
    for word, count in words.most_common(60000):
        if count < 50 or len(word) > 24:
            continue
        pieces = reader.encode(word, add_special_tokens=False).ids
        if len(pieces) >= 3:
            shattered.append((word, pieces, count * (len(pieces) - 1)))
    shattered.sort(key=lambda item: -item[2])
    extra = [(w, p) for w, p, _ in shattered[: plan.new_words] if w not in base]
    have = set(keep) | {w for w, _ in extra}
    for picture in wordpiece.emoji():
        meaning = reader.encode(unicodedata.name(picture, "").lower(), add_special_tokens=False).ids
        for piece in (picture, "##" + picture):
            if piece not in have and meaning:
                extra.append((piece, meaning))
    order = wordpiece.SPECIALS + keep
    table = [vectors[base[t]] for t in order] + [vectors[p].mean(0) for _, p in extra]
    pieces = order + [w for w, _ in extra]
    return {t: i for i, t in enumerate(pieces)}, np.stack(table).astype(np.float32)


class Deep(nn.Module):
    """Encoder, mean over tokens, ten logits. Word vectors and the lowest layers stay as published."""

    def __init__(self, table: np.ndarray, frozen_layers: int):
        super().__init__()
        self.encoder = minilm.pretrained()
        self.encoder.words = nn.Embedding.from_pretrained(torch.from_numpy(table.copy()), freeze=True)
        for part in [self.encoder.places, self.encoder.norm, *self.encoder.layers[:frozen_layers]]:
            part.requires_grad_(False)
        self.head = nn.Linear(384, len(LABELS))

    def forward(self, ids):
        mask = (ids != wordpiece.PAD).long()
        x = self.encoder(ids, mask) * mask[:, :, None]
        x = x.sum(1) / mask.sum(1, keepdim=True)
        return self.head(F.dropout(x, 0.1, self.training))


def pack(tokenizer, texts: list, limit: int) -> Packed:
    """Token ids with [CLS] and [SEP], cut at `limit`."""
    ids, starts = wordpiece.encode(tokenizer, texts, limit - 2)
    out, at = [], [0]
    for a, b in zip(starts[:-1], starts[1:]):
        out.append(np.concatenate([[CLS], ids[a:b], [SEP]]).astype(np.int32))
        at.append(at[-1] + len(out[-1]))
    return Packed(np.concatenate(out), np.array(at, dtype=np.int64))


def steps_of(order: np.ndarray, length: np.ndarray, budget: int, rng) -> list:
    """Batches of similar length with at most `budget` padded tokens."""
    out = []
    for begin in range(0, len(order), 8192):
        chunk = order[begin : begin + 8192]
        chunk = chunk[np.argsort(length[chunk] + rng.random(len(chunk)))]
        start = 0
        block = []
        for stop in range(1, len(chunk) + 1):
            if stop == len(chunk) or (stop - start + 1) * length[chunk[stop]] > budget:
                block.append(chunk[start:stop])
                start = stop
        rng.shuffle(block)
        out += block
    return out


# How many rows of each public set the pass draws (a set can be drawn more than once); unnamed sets are left out.
# Adversarial hate comes first: plain keyword-sampled sets teach the words, these teach what is done with them.
DRAWS = {
    "dynahate": 55000, "hatemoji_build": 10000, "toxigen_prompts": 1200, "implicit_hate": 3500, "hatexplain": 3000,
    "kurrek_slur_subset": 2500, "edos": 2000, "gab_hate_corpus": 2000, "toxic_spans_civil": 2000, "convabuse": 1900,
    "davidson": 1500, "stormfront": 1500, "wiki_toxicity_context": 1500, "fox_news_comments": 1200,
    "identity_madlibs": 1000, "online_misogyny": 1000, "mlma": 1000, "surge_toxicity": 800,
    "gahd": 3000, "jigsaw2020_multi": 3000, "told_br": 2500, "germeval2018": 1500, "germeval2021": 1000,
    "sms_spam": 4600, "instagram_scamspot": 2700, "youtube_spam": 2600, "janitr_x": 2500, "youtube_gambling_id": 1500,
    "smishing": 1200, "tg_spam_samples": 500,
    "hint3": 2600, "complaints_tweets": 2400, "clinc150": 2000, "multidogo": 2000, "banking77": 1500,
    "bitext_support": 1500, "purchase_tweets": 1000, "cucom_ecommerce": 800, "purchase_posts_templated": 600,
    "goemotions": 4000, "cpsc_incidents": 500,
}


# The second pass: a share of the draws above, more of what is short and clear, and every functional row.
POLISH = {"dynahate": 10000, "hatemoji_build": 2500, "sms_spam": 2500, "youtube_spam": 1400, "smishing": 400}


def drawn(name: str, size: int, plan: Plan, polish: bool) -> float:
    """How many rows of a set one pass draws; a brand's own labels count as authored ones."""
    if name in (AUTHORED, OWN):
        return size * (plan.polish_authored_times if polish else plan.authored_times)
    if name.startswith(PREFIX):
        return size if polish else 0
    if polish:
        return POLISH.get(name, plan.polish_share * DRAWS.get(name, 0))
    return DRAWS.get(name, 0)


def choose(source: np.ndarray, plan: Plan, rng, polish: bool = False) -> np.ndarray:
    """Rows of one pass, well mixed: whole rounds of a set first, then a draw from it."""
    parts = []
    for name in np.unique(source):
        at = np.flatnonzero(source == name)
        wanted = int(plan.share * drawn(str(name), len(at), plan, polish))
        rounds, rest = divmod(wanted, len(at))
        parts += [at] * rounds + [rng.choice(at, rest, replace=False)]
    order = np.concatenate(parts)
    rng.shuffle(order)
    return order


@torch.inference_mode()
def logits_of(net: Deep, packed: Packed, budget: int = 4096) -> np.ndarray:
    net.eval()
    out = np.zeros((len(packed.length), len(LABELS)), np.float32)
    for at in steps_of(np.arange(len(packed.length)), packed.length, budget, np.random.default_rng(0)):
        out[at] = net(packed.batch(at)).numpy()
    return out


class Pool:
    """Training rows with obfuscated copies, and the steps of one pass over a draw from them."""

    def __init__(self, rows: Rows, tokenizer, plan: Plan, rng, polish: bool):
        index = np.flatnonzero((rows.split == TRAIN) & np.isin(rows.lang, plan.languages))
        extra, origin = augmented(rows, index, plan.seed + polish, plan.polish_harmful if polish else 0.15)
        texts = [rows.text[i] for i in index] + extra
        index = np.concatenate([index, origin])
        self.target, self.weight = rows.target[index], row_weights(rows)[index]
        self.weight[np.isin(rows.source[index], (AUTHORED, OWN))] *= plan.authored_weight
        order = choose(rows.source[index], plan, rng, polish)
        self.unique, back = np.unique(order, return_inverse=True)
        self.packed = pack(tokenizer, [texts[i] for i in self.unique], plan.limit)
        self.steps = steps_of(back, self.packed.length, plan.tokens_a_step, rng)
        self.size = f"{len(order)} rows, {self.packed.length[back].sum() / 1e6:.2f} M tokens, {len(self.steps)} steps"


def tune(rows: Rows, plan: Plan, work, log) -> tuple:
    """Both passes, with checkpoints; a second call goes on from the last one."""
    torch.manual_seed(plan.seed)
    rng = np.random.default_rng(plan.seed)
    vocab, table = vocabulary(rows, plan)
    tokenizer = wordpiece.blank(vocab)
    log(f"{len(vocab)} pieces")
    net = Deep(table, plan.frozen_layers)
    watch = np.flatnonzero((rows.split == VALIDATION) & (rows.source == AUTHORED))
    watched = pack(tokenizer, [rows.text[i] for i in watch], plan.limit)

    def progress():
        p = logits_of(net, watched)
        log("authored validation AUC " + " ".join(
            f"{label} {auc(rows.target[watch][:, INDEX[label]], p[:, INDEX[label]]):.3f}" for label in HEADLINE))

    first, second = work / "deep.pt", work / "polish.pt"
    if not second.exists():
        pool = Pool(rows, tokenizer, plan, rng, polish=False)
        one_pass(net, pool, (plan.rate, plan.head_rate), first, plan.leave_at, log, progress)
    pool = Pool(rows, tokenizer, plan, np.random.default_rng(plan.seed + 1), polish=True)
    pool.steps = pool.steps[: plan.polish_steps]
    one_pass(net, pool, (plan.polish_rate, plan.polish_head_rate), second, None, log, progress)
    return net.eval(), tokenizer


def one_pass(net: Deep, pool: Pool, rates: tuple, checkpoint, leave_at: int | None, log, progress):
    """Runs the steps: the rate rises for a short while and falls to nothing at the last."""
    target, weight, packed, steps = pool.target, pool.weight, pool.packed, pool.steps
    log(pool.size)
    fast = list(net.head.parameters())
    slow = [p for p in net.parameters() if p.requires_grad and not any(p is f for f in fast)]
    optimizer = torch.optim.AdamW([{"params": slow, "peak": rates[0]}, {"params": fast, "peak": rates[1]}],
                                  weight_decay=0.01)
    done, last = 0, min(leave_at or len(steps), len(steps))
    if checkpoint.exists():
        state = torch.load(checkpoint)
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        done = state["done"]
        log(f"going on from step {done}")
    losses, began, tokens = [], time.time(), 0
    for step in range(done, last):
        net.train()
        share = min(1.0, (step + 1) / (0.06 * len(steps))) * max(0.01, 1 - step / len(steps))
        for group, peak in zip(optimizer.param_groups, rates):
            group["lr"] = peak * share
        at = steps[step]
        logits = net(packed.batch(at))
        rows_at = pool.unique[at]
        goal, w = torch.from_numpy(target[rows_at]), torch.from_numpy(weight[rows_at])
        loss = (F.binary_cross_entropy_with_logits(logits, goal, reduction="none") * w).sum() / len(at)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(slow + fast, 5.0)
        optimizer.step()
        losses.append(float(loss.detach()))
        tokens += int(packed.length[at].sum())
        if (step + 1) % 50 == 0:
            log(f"step {step + 1}/{len(steps)} loss {np.mean(losses[-50:]):.4f} {tokens / (time.time() - began):.0f} tokens/s")
        if (step + 1) % 200 == 0 or step + 1 == last:
            torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict(), "done": step + 1}, checkpoint)
        if (step + 1) % 500 == 0 or step + 1 == last:
            progress()


class Ranges:
    """Least and greatest input of every product, as batches of training texts show them."""

    def __init__(self, net: Deep):
        self.low, self.high = {}, {}
        self.hooks = [
            part.register_forward_pre_hook(lambda _m, x, name=name: self.see(name, x[0]))
            for name, part in net.encoder.layers.named_modules() if isinstance(part, nn.Linear)]

    def see(self, name, x):
        self.low.setdefault(name, []).append(float(x.min()))
        self.high.setdefault(name, []).append(float(x.max()))

    def done(self) -> dict:
        """Means over batches with a tenth to spare: one odd text must not coarsen every other."""
        for hook in self.hooks:
            hook.remove()
        return {name: (min(0.0, float(np.mean(self.low[name])) * 1.1), max(0.0, float(np.mean(self.high[name])) * 1.1))
                for name in self.low}


def ranges(net: Deep, packed: Packed, count: int = 600) -> dict:
    """Activation ranges over some training texts; padding is left out by running equal lengths together."""
    seen = Ranges(net)
    net.eval()
    with torch.inference_mode():
        rng = np.random.default_rng(1)
        some = rng.choice(len(packed.length), min(count, len(packed.length)), replace=False)
        for length in np.unique(packed.length[some]):
            net(packed.batch(some[packed.length[some] == length]))
    return seen.done()


@torch.inference_mode()
def export(net: Deep, path, scales: dict | None, bits: int = 7):
    """Writes the ONNX graph: `float` products without `scales`, else u8 activations (fixed scale) by s8 weights.

    Fixed scales keep a text's score the same alone and in a batch, which scales taken from the whole batch do
    not. Weights use seven bits, so that the products cannot saturate on machines without VNNI. Everything
    between the products is two-dimensional, which also keeps the runtime from fusing Add with LayerNormalization
    (slower on CPU).
    """
    from onnx import TensorProto

    from .graph import Graph, ids_input, logits_output

    g = Graph()
    hidden, heads = 384, 12
    width = hidden // heads
    ints = lambda *v: g.constant(np.array(v, np.int64))
    array = lambda t: t.detach().numpy().astype(np.float32)

    def linear(x, layer: nn.Linear, name: str):
        w, b = array(layer.weight).T, g.constant(array(layer.bias))
        if scales is None:
            return g.node("Add", [g.node("MatMul", [x, g.constant(w)]), b])
        low, high = scales[name]
        scale = (high - low) / 255.0
        zero = int(np.clip(round(-low / scale), 0, 255))
        top = 2 ** (bits - 1) - 1
        steps = np.maximum(np.abs(w).max(0), 1e-9) / top
        q = np.clip(np.rint(w / steps), -top, top).astype(np.int8)
        z = g.constant(np.array(zero, np.uint8))
        taken = g.node("QuantizeLinear", [x, g.constant(np.array(scale, np.float32)), z])
        whole = g.node("MatMulInteger", [taken, g.constant(q), z])
        real = g.node("Mul", [g.node("Cast", [whole], to=TensorProto.FLOAT), g.constant((steps * scale).astype(np.float32))])
        return g.node("Add", [real, b])

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
    flat, split = ints(-1, hidden), g.node("Concat", [shape, ints(heads, width)], axis=0)
    x = norm(g.node("Reshape", [g.node("Add", [words, places]), flat]), net.encoder.norm)
    mask = g.node("Cast", ["attention_mask"], to=TensorProto.FLOAT)
    hide = g.node("Mul", [g.node("Sub", [g.constant(np.array(1, np.float32)), mask]), g.constant(np.array(-1e4, np.float32))])
    hide = g.node("Unsqueeze", [hide, ints(1, 2)])
    for i, layer in enumerate(net.encoder.layers):
        qkv = linear(x, layer.qkv, f"{i}.qkv")
        q, k, v = ((lambda n, p: g.node("Transpose", [g.node("Reshape", [n, split])], perm=p))(
            g.node("Slice", [qkv, ints(j * hidden), ints((j + 1) * hidden), ints(1)]), perm)
            for j, perm in enumerate(((0, 2, 1, 3), (0, 2, 3, 1), (0, 2, 1, 3))))
        q = g.node("Mul", [q, g.constant(np.array(width ** -0.5, np.float32))])
        share = g.node("Softmax", [g.node("Add", [g.node("MatMul", [q, k]), hide])], axis=-1)
        mixed = g.node("Transpose", [g.node("MatMul", [share, v])], perm=(0, 2, 1, 3))
        mixed = linear(g.node("Reshape", [mixed, flat]), layer.out, f"{i}.out")
        x = norm(g.node("Add", [x, mixed]), layer.norm1)
        up = linear(x, layer.up, f"{i}.up")
        erf = g.node("Erf", [g.node("Div", [up, g.constant(np.array(math.sqrt(2), np.float32))])])
        up = g.node("Mul", [g.node("Mul", [up, g.node("Add", [erf, g.constant(np.array(1, np.float32))])]),
                            g.constant(np.array(0.5, np.float32))])
        x = norm(g.node("Add", [x, linear(up, layer.down, f"{i}.down")]), layer.norm2)
    cube = g.node("Reshape", [x, g.node("Concat", [shape, ints(hidden)], axis=0)])
    weighted = g.node("Mul", [cube, g.node("Unsqueeze", [mask, ints(2)])])
    mean = g.node("Div", [g.node("ReduceSum", [weighted, ints(1)], keepdims=0),
                          g.node("ReduceSum", [mask, ints(1)], keepdims=1)])
    g.node("Gemm", [mean, g.constant(array(net.head.weight).T), g.constant(array(net.head.bias))], "logits")
    g.save(path, [ids_input("input_ids", TensorProto.INT64), ids_input("attention_mask", TensorProto.INT64)],
           [logits_output(len(LABELS))])


def run(args, rows: Rows, finish, log):
    """The whole way: tune, export, calibrate. Measured on at most 200 held-out rows of each public set."""
    plan, work = Plan(), args.work
    if args.smoke:
        plan = Plan(new_words=50, share=0.001, polish_share=0.05, limit=24)
        work = args.work / "smoke"
        shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    net, tokenizer = tune(rows, plan, work, log)
    args.out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(args.out / "tokenizer.json"))
    index = np.flatnonzero((rows.split == TRAIN) & np.isin(rows.lang, plan.languages))
    rng = np.random.default_rng(2)
    some = rng.choice(index, min(1200, len(index)), replace=False)
    scales = ranges(net, pack(tokenizer, [rows.text[i] for i in some], plan.limit))
    export(net, args.out / "model.onnx", scales)
    return finish(args.out, "deep", rows, specials={"cls_id": CLS, "sep_id": SEP}, mask=True, most=200)
