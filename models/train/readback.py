"""A deep model read back from its folder: a brand that has only what is shipped can go on from it."""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from . import encoders
from .deep import Deep


def network(folder: Path) -> Deep:
    """The network as it computes in `model.onnx`, with the ranges of its products. Reads what `deep.export` writes, node by node."""
    graph = onnx.load(folder / "model.onnx").graph
    value = {c.name: numpy_helper.to_array(c) for c in graph.initializer}
    of = lambda kind: [[value.get(name) for name in node.input] for node in graph.node if node.op_type == kind]
    tables, norms, products = of("Gather"), of("LayerNormalization"), of("MatMulIntegerToFloat")
    if not products or len(norms) != 1 + len(products) // 2:
        raise SystemExit(f"{folder / 'model.onnx'}: not a model that `train deep` exported with int8 products")
    (head,), (places, *_) = of("Gemm"), [s for s in of("Slice") if s[0] is not None]
    words = tables[0][0].astype(np.float32) * tables[1][0]
    form = encoders.Form(layers=len(products) // 4, hidden=words.shape[1], inner=products[2][1].shape[1],
                         relu=any(node.op_type == "Relu" for node in graph.node))
    net = Deep(encoders.Encoder(len(words), form))
    position = np.zeros((net.encoder.places.num_embeddings, form.hidden), np.float32)
    position[: len(places[0])] = places[0]
    put = lambda part, weight, bias: part.load_state_dict({"weight": torch.from_numpy(weight.copy()), "bias": torch.from_numpy(bias.copy())})
    net.encoder.words.weight.data = torch.from_numpy(words)
    net.encoder.places.weight.data = torch.from_numpy(position)
    put(net.encoder.norm, *norms[0][1:3])
    put(net.head, head[1].T, head[2])
    for number, layer in enumerate(net.encoder.layers):
        put(layer.norm1, *norms[1 + 2 * number][1:3])
        put(layer.norm2, *norms[2 + 2 * number][1:3])
        for part, (_, q, scale, steps, zero, _, bias) in zip((layer.qkv, layer.out, layer.up, layer.down), products[4 * number :]):
            put(part, (q * steps).T.astype(np.float32), bias)
            low, step = -zero.item() * scale.item(), scale.item()
            part.span = (low, low + 255 * step)
    return net.eval()
