"""The deep model: MiniLM tuned on labels and on what its teachers think, exported with int8 matrix products."""

from dataclasses import asdict, replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from . import encoders, prepare, store, wordpiece
from .labels import LABELS
from .pairs import Pairs, fit as fit_pairs
from .plan import Plan
from .prepare import Pool
from .teacher import PLAIN, VALID, answers, keep_answers
from .tuning import Texts, figures, fit, goals_of, logits_of, watch

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


def teach(pool: Pool, texts: Texts, plan: Plan, work, device: str, log) -> list:
    """The teachers, tuned on the labels, for the model to ask on a GPU; elsewhere that would take days, and there are none. Their
    mean logits on every text of the pool are kept in the work folder."""
    state, valid = store.full_weights(store.load(work / "teacher.bin")[0]), np.flatnonzero(pool.kind == VALID)
    nets, said = [], []
    for number in range(plan.teachers):
        net = Deep(encoders.encoder(state, encoders.MPNET)).to(device)
        fit(net, pool, texts, goals_of(pool, None, plan, device), plan, plan.teacher_rounds, (plan.teacher_rate, 1e-3),
            plan.teacher_tokens, plan.seed + number, device, log, name=f"teacher {number + 1}")
        said.append(logits_of(net, texts, np.arange(len(pool.kind)), device))
        log(f"teacher {number + 1}: {figures(watch(pool, said[-1][valid], valid))}")
        if device != "cpu":
            net.encoder.bfloat16()
            nets.append(net)
    mean = np.mean(said, 0)
    log(f"teachers together: {figures(watch(pool, mean[valid], valid))}")
    keep_answers(work, mean)
    return nets


def student(pool: Pool, texts: Texts, start: dict, goals: tuple, plan: Plan, device: str, log, taught: bool, teachers: list) -> Deep:
    """The tuned network."""
    torch.manual_seed(plan.seed)
    layers = len([name for name in start if name.endswith(".up.weight")])
    form = replace(encoders.MINILM, layers=layers, inner=plan.inner, relu=True)
    net = Deep(encoders.encoder(encoders.pruned(start, form.inner), form)).to(device)
    fit(net, pool, texts, goals, plan, plan.rounds, (plan.rate, plan.head_rate), plan.tokens_a_step, plan.seed + 100, device, log,
        taught, plan.whole_numbers, "deep", teachers)
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
    texts, teachers = Texts(pool, device), []
    if plan.teachers and not (work / "soft.bin").exists():
        teachers = teach(pool, texts, plan, work, device, log)
    soft = answers(work) if plan.teachers else None
    goals = goals_of(pool, soft, plan, device)
    keep(student(pool, texts, start, goals, plan, device, log, soft is not None, teachers), work / "deep.bin")


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

    from .graph import RUNTIME, Graph, ids_input, logits_output, row_sum

    pairs.check(np.int64)
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
    single, single_scale, *double = pairs.inputs(g)
    sums = row_sum(g, "input_ids", pairs.columns(g, single, single_scale))
    g.node("Add", [said, pairs.logits(g, "input_ids", np.int64, sums, *double)], "logits")
    g.save(path, [ids_input("input_ids", TensorProto.INT64), ids_input("attention_mask", TensorProto.INT64)],
           [logits_output(len(LABELS))])
