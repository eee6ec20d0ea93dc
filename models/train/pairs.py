"""Adds to a network's logits what a linear model of pieces and of pairs of neighbours says: it knows set phrases by heart."""

import numpy as np
from onnx import TensorProto, helper
from onnxruntime import InferenceSession
from scipy import sparse
from sklearn.svm import LinearSVC

from . import store
from .graph import Graph, cut, ids_input, logits_output, row_sum
from .labels import INDEX, LABELS
from .wordpiece import PAD

# Text messages are few, and of a kind of their own.
TIMES = {"sms_spam": 5.0, "smishing": 5.0}


def row_of(first, second, pieces: int, rows: int):
    """A pair's row in the table of pairs, which the graph computes too; of fewer than 32,768 pieces in 32 bits. Row 0 is for pairs
    that end in padding (piece 0), and says nothing."""
    return second * (first + pieces) % rows


def features(ids: np.ndarray, length: np.ndarray, pieces: int, rows: int) -> sparse.csr_matrix:
    """Counts of pieces, then of pairs by row, of packed texts; divided by the root of how many there are of both."""
    first, size = ids.astype(np.int64), length.astype(np.int64)
    text = np.repeat(np.arange(len(size)), size)
    more = np.flatnonzero(text[1:] == text[:-1])
    second = first[more + 1]
    column = np.concatenate([first, pieces + row_of(first[more], second, pieces, rows)])
    text = np.concatenate([text, text[more]])
    value = (1.0 / np.sqrt(np.maximum(2 * size - 1, 1))).astype(np.float32)[text]
    return sparse.csr_matrix((value, (text, column)), shape=(len(size), pieces + rows))


def fit(ids, length, target, weight, source, pieces: int, rows: int, hate: float, log) -> "Pairs":
    """Logits by piece or pair and label, from labelled texts. A margin of the linear model counts as two logits, and of hate as
    `hate`: what was best on validation rows."""
    table = np.zeros((pieces + rows, len(LABELS)), np.float32)
    counts = features(ids, length, pieces, rows)
    times = np.array([TIMES.get(name, 1.0) for name in source])
    for label, i in INDEX.items():
        share = hate if label == "hate" else 2.0
        at = np.flatnonzero(weight[:, i] >= 0.3)
        said = target[at, i] > 0.5
        if not share or len(np.unique(said)) < 2:
            continue
        model = LinearSVC(C=0.25, random_state=0)
        model.fit(counts[at], said, sample_weight=(weight[at, i] * times[at]).astype(np.float64))
        table[:, i] = share * model.coef_[0]
    log(f"pairs: {np.count_nonzero(table)} weights from {len(length)} texts")
    return Pairs(table, pieces)


class Pairs:
    """The table as the graph holds it: in int8, with a scale for each label."""

    def __init__(self, table: np.ndarray, pieces: int):
        self.whole, scale = store.rounded(table.T, 8)
        self.whole, self.scale, self.pieces, self.rows = self.whole.T, scale.T, pieces, len(table) - pieces

    def inputs(self, graph: Graph) -> list:
        """The constants that `columns` and `logits` take: for each piece its logits and a one to count it by (nothing for
        padding), their scales, the table of pairs, and its scales."""
        single = np.concatenate([self.whole[: self.pieces], np.ones((self.pieces, 1), np.int8)], 1)
        single[PAD] = 0
        scale = self.scale.astype(np.float32)
        # Floats would not stay in a core's cache: with them picking rows takes three times as long.
        double = self.whole[self.pieces :].copy()
        double[0] = 0
        return [graph.constant(array) for array in (single, np.append(scale, np.ones((1, 1), np.float32), 1), double, scale)]

    @staticmethod
    def columns(graph: Graph, single: str, scale: str) -> str:
        """For each piece its logits, and its one, as floats."""
        return graph.node("Mul", [graph.node("Cast", [single], to=TensorProto.FLOAT), scale])

    def logits(self, graph: Graph, ids: str, kind: type, sums: str, double: str, scale: str) -> str:
        """What is to be added; `ids` are of this `kind`, and `sums` are those of `columns` over a text's pieces."""
        number = lambda value: graph.constant(np.array(value, kind))
        first, second = cut(graph, ids, 0, -1), cut(graph, ids, 1, 2**31 - 1)
        row = graph.node("Mod", [graph.node("Mul", [second, graph.node("Add", [first, number(self.pieces)])]), number(self.rows)])
        pairs = graph.node("Mul", [row_sum(graph, row, double), scale])
        single, count = cut(graph, sums, 0, len(LABELS)), cut(graph, sums, len(LABELS), len(LABELS) + 1)
        one = graph.constant(np.array(1, np.float32))
        count = graph.node("Max", [graph.node("Sub", [graph.node("Add", [count, count]), one]), one])
        return graph.node("Div", [graph.node("Add", [single, pairs]), graph.node("Sqrt", [count])])

    def said(self, ids: np.ndarray, length: np.ndarray) -> np.ndarray:
        """What is to be added to the logits of packed texts."""
        table = self.whole.astype(np.float32) * self.scale
        table[self.pieces] = 0.0
        return features(ids, length, self.pieces, self.rows) @ table

    def check(self, kind: type):
        """Ends with an error where the graph says something else than the linear model on `features`."""
        rng = np.random.default_rng(1)
        length = rng.integers(1, 12, 200)
        ids = rng.integers(1, self.pieces, length.sum())
        padded = np.full((len(length), length.max()), PAD, kind)
        padded[np.arange(length.max()) < length[:, None]] = ids
        g = Graph()
        single, single_scale, *double = self.inputs(g)
        sums = row_sum(g, "ids", self.columns(g, single, single_scale))
        g.nodes.append(helper.make_node("Identity", [self.logits(g, "ids", kind, sums, *double)], ["logits"]))
        model = g.model([ids_input("ids", helper.np_dtype_to_tensor_dtype(np.dtype(kind)))], [logits_output(len(LABELS))])
        (said,) = InferenceSession(model.SerializeToString()).run(None, {"ids": padded})
        off = np.abs(said - self.said(ids, length)).max()
        if not off < 1e-3:
            raise SystemExit(f"pairs: the graph is {off:.4f} logits off the table that was fitted")
