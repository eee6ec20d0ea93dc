"""The screen model: static token vectors pooled by learned weights, and a tiny head."""

import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from . import encoders
from .data import AUTHORED, OWN, TRAIN, Rows, augmented, epoch_indices, row_weights
from .functional import PREFIX
from .labels import LABELS
from .pairs import Pairs, fit as fit_pairs
from .teacher import RECOMBINED, Lessons
from .wordpiece import PAD, encode


@dataclass
class Shape:
    """What the network looks like and how long it is trained."""

    pieces: int = 30000
    dim: int = 64
    heads: int = 4
    hidden: int = 64
    epochs: int = 15
    batch: int = 512
    rate: float = 2e-3
    authored_times: int = 4
    authored_weight: float = 2.0
    # How much answers weigh beside labels: of our own texts and recombined ones, and of the public sets' texts.
    taught_weight: float = 1.0
    taught_public: float = 0.25
    pair_rows: int = 1 << 16
    token_dropout: float = 0.1
    dropout: float = 0.2
    seed: int = 5


class Screen(nn.Module):
    """Weighted mean of token vectors per group of dimensions, then one hidden layer with a linear path beside it."""

    def __init__(self, shape: Shape, vocabulary: int):
        super().__init__()
        self.shape = shape
        self.vectors = nn.Embedding(vocabulary, shape.dim)
        self.weights = nn.Embedding(vocabulary, shape.heads)
        nn.init.normal_(self.vectors.weight, std=0.3)
        nn.init.zeros_(self.weights.weight)
        self.up = nn.Linear(shape.dim, shape.hidden)
        self.down = nn.Linear(shape.hidden, len(LABELS))
        self.direct = nn.Linear(shape.dim, len(LABELS), bias=False)

    def pool(self, ids):
        b, t = ids.shape
        heads, width = self.shape.heads, self.shape.dim // self.shape.heads
        w = self.weights(ids).clamp(-8, 6).exp() * (ids != PAD)[:, :, None]
        if self.training and self.shape.token_dropout:
            w = w * (torch.rand(b, t, 1) >= self.shape.token_dropout)
        v = self.vectors(ids).view(b, t, heads, width)
        total = torch.einsum("btk,btkw->bkw", w, v)
        return (total / (w.sum(1)[:, :, None] + 1e-4)).reshape(b, -1)

    def forward(self, ids):
        x = F.dropout(self.pool(ids), self.shape.dropout, self.training)
        return self.down(F.dropout(F.relu(self.up(x)), self.shape.dropout, self.training)) + self.direct(x)


class Packed:
    """Texts as token ids end to end; gives padded batches."""

    def __init__(self, ids, starts):
        self.ids, self.starts = ids, starts
        self.length = np.diff(starts)

    def batch(self, at) -> torch.Tensor:
        longest = max(1, int(self.length[at].max()))
        offset = np.arange(longest)[None, :]
        inside = offset < self.length[at][:, None]
        where = np.where(inside, self.starts[at][:, None] + offset, 0)
        return torch.from_numpy(np.where(inside, self.ids[where], PAD).astype(np.int64))


def batches(order, length, size, rng):
    """Batches of similar length, in random order."""
    out = []
    for begin in range(0, len(order), size * 64):
        chunk = order[begin : begin + size * 64]
        chunk = chunk[np.argsort(length[chunk] + rng.random(len(chunk)), kind="stable")]
        out += [chunk[i : i + size] for i in range(0, len(chunk), size)]
    rng.shuffle(out)
    return out


@dataclass
class Training:
    """Packed texts with targets, weights and source names; and targets and weights without what teachers think."""

    packed: Packed
    target: np.ndarray
    weight: np.ndarray
    source: np.ndarray
    labels: tuple


def training_set(rows: Rows, tokenizer, shape: Shape, lessons: Lessons | None = None) -> Training:
    """Training rows, their obfuscated copies and recombined texts.

    Cross-entropy is linear in its target: what the teachers think is mixed into target and weight.
    """
    index = np.flatnonzero(rows.split == TRAIN)
    texts, soft, said = [rows.text[i] for i in index], None, None
    if lessons is None:
        extra, origin = augmented(rows, index, shape.seed)
    else:
        # Of obfuscated copies the first round's; answers about rows go to the rows.
        more = (lessons.row < 0) | (lessons.kind == 1)
        extra, origin = [text for text, take in zip(lessons.text, more) if take], lessons.row[more]
        soft, said = np.zeros((len(index) + len(extra), len(LABELS)), np.float32), np.zeros(len(index) + len(extra), bool)
        plain = (lessons.row >= 0) & (lessons.kind == 0)
        place = np.searchsorted(index, lessons.row[plain])
        soft[place], said[place] = lessons.soft[plain], True
        soft[len(index) :], said[len(index) :] = lessons.soft[more], True
    texts += extra
    index = np.concatenate([index, origin])
    alone = index < 0
    target, weight, source = rows.target[index], row_weights(rows)[index], rows.source[index].astype("U40")
    weight[np.isin(source, (AUTHORED, OWN))] *= shape.authored_weight
    weight[alone], source[alone] = 0.0, RECOMBINED
    labels = (target, weight)
    if soft is not None:
        own = alone | np.isin(source, (AUTHORED, OWN)) | np.char.startswith(source, PREFIX)
        more = np.where(said, np.where(own, shape.taught_weight, shape.taught_public), 0.0)[:, None]
        total = weight + more
        target = ((weight * target + more * soft) / np.maximum(total, 1e-9)).astype(np.float32)
        weight = total.astype(np.float32)
    return Training(Packed(*encode(tokenizer, texts)), target, weight, source, labels)


def fit(net: Screen, data: Training, shape: Shape, log=print, watch=None):
    """Masked weighted cross-entropy with Adam; the rate rises for a twentieth and then falls."""
    rng = np.random.default_rng(shape.seed)
    torch.manual_seed(shape.seed)
    optimizer = torch.optim.Adam(net.parameters(), lr=shape.rate, betas=(0.9, 0.99))
    per_epoch = math.ceil(len(epoch_indices(data.source, rng, shape.authored_times)) / shape.batch)
    total, step = per_epoch * shape.epochs, 0
    for epoch in range(shape.epochs):
        net.train()
        began, losses = time.time(), []
        for at in batches(epoch_indices(data.source, rng, shape.authored_times), data.packed.length, shape.batch, rng):
            share = min(1.0, (step + 1) / max(1, 0.05 * total)) * (0.02 + 0.98 * max(0.0, 1 - step / total))
            for group in optimizer.param_groups:
                group["lr"] = shape.rate * share
            logits = net(data.packed.batch(at))
            goal, w = torch.from_numpy(data.target[at]), torch.from_numpy(data.weight[at])
            loss = (F.binary_cross_entropy_with_logits(logits, goal, reduction="none") * w).sum() / len(at)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            step += 1
        log(f"epoch {epoch + 1}/{shape.epochs} loss {np.mean(losses):.4f} {time.time() - began:.0f}s"
            + (f" {watch(net)}" if watch else ""))


@torch.inference_mode()
def logits_of(net: Screen, packed: Packed, size: int = 2048) -> np.ndarray:
    net.eval()
    out = np.zeros((len(packed.length), len(LABELS)), np.float32)
    order = np.argsort(packed.length, kind="stable")
    for begin in range(0, len(order), size):
        at = order[begin : begin + size]
        out[at] = net(packed.batch(at)).numpy()
    return out


def pairs_of(data: Training, shape: Shape, log) -> Pairs:
    """From labels alone, with as many rows of a public set as an epoch has."""
    at = np.unique(epoch_indices(data.source, np.random.default_rng(shape.seed), shape.authored_times))
    target, weight = data.labels
    some = np.zeros_like(weight)
    some[at] = weight[at]
    return fit_pairs(data.packed.ids, data.packed.length, target, some, data.source, shape.pieces, shape.pair_rows, 1.0, log)


def initial_vectors(net, tokenizer, packed, shape, pretrained: bool):
    """Token vectors from MiniLM (English pieces), pooling weights from frequency."""
    vocab = tokenizer.get_vocab()
    if pretrained:
        pieces = sorted(vocab, key=vocab.get)
        vectors, readable = encoders.piece_vectors(pieces, shape.dim)
        at = torch.from_numpy(readable)
        net.vectors.weight.data[at] = torch.from_numpy(vectors[readable]).float() * 0.3
    share = np.bincount(packed.ids, minlength=len(vocab)) + 1
    share = share / share.sum()
    net.weights.weight.data += torch.from_numpy(np.log(1e-3 / (1e-3 + share))).float()[:, None]


def learn(data: Training, tokenizer, shape: Shape, pretrained: bool, log) -> tuple[Screen, Pairs]:
    """A network, and what is known by heart beside it."""
    net = Screen(shape, shape.pieces)
    initial_vectors(net, tokenizer, data.packed, shape, pretrained)
    fit(net, data, shape, log)
    return net, pairs_of(data, shape, log)


@torch.inference_mode()
def export(net: Screen, pairs: Pairs, path):
    """Writes the ONNX graph: one call of the function `Screen`, whose inputs are token ids and all that was learned.

    The pooling weight is folded into the table, whose last columns carry the weights themselves, so that
    one sum gives numerator and denominator; the padding row is all zeros. The table is in int8 with one scale a row.
    """
    from .graph import Graph, cut, ids_input, logits_output, row_sum

    shape = net.shape
    width = shape.dim // shape.heads
    w = net.weights.weight.clamp(-8, 6).exp().numpy()
    table = np.concatenate([net.vectors.weight.numpy() * np.repeat(w, width, axis=1), w], 1)
    table[PAD] = 0.0
    scale = np.maximum(np.abs(table).max(1, keepdims=True), 1e-9) / 127.0
    pairs.check(np.int32)

    def screen(g: Graph, ids, table, scale, single, single_scale, double, double_scale, up, up_bias, down, down_bias, direct):
        """Gather, sum, divide, two small products, and what `pairs` adds."""
        ints = lambda *v: g.constant(np.array(v, np.int64))
        real = g.node("Mul", [g.node("Cast", [table], to=1), scale])
        total = row_sum(g, ids, g.node("Concat", [real, pairs.columns(g, single, single_scale)], axis=1))
        columns = shape.dim + shape.heads
        above = g.node("Reshape", [cut(g, total, 0, shape.dim), ints(-1, shape.heads, width)])
        below = g.node("Add", [cut(g, total, shape.dim, columns), g.constant(np.array(1e-4, np.float32))])
        mean = g.node("Div", [above, g.node("Reshape", [below, ints(-1, shape.heads, 1)])])
        x = g.node("Reshape", [mean, ints(-1, shape.dim)])
        inner = g.node("Relu", [g.node("Gemm", [x, up, up_bias])])
        said = g.node("Add", [g.node("Gemm", [inner, down, down_bias]), g.node("MatMul", [x, direct])])
        by_heart = pairs.logits(g, ids, np.int32, cut(g, total, columns, 2**31 - 1), double, double_scale)
        return g.node("Add", [said, by_heart])

    graph = Graph()
    array = lambda t: graph.constant(t.detach().numpy().astype(np.float32))
    learned = [graph.constant(np.rint(table / scale).astype(np.int8)), graph.constant(scale.astype(np.float32)), *pairs.inputs(graph),
               array(net.up.weight.T), array(net.up.bias), array(net.down.weight.T), array(net.down.bias), array(net.direct.weight.T)]
    graph.call("Screen", screen, ["input_ids", *learned], "logits")
    graph.save(path, [ids_input("input_ids")], [logits_output(len(LABELS))])
