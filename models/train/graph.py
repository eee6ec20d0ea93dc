"""Writes ONNX graphs by hand, so that the exported file holds just the operators that serving runs."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# Operators that ONNX Runtime adds to the standard's.
RUNTIME = "com.microsoft"
# A function that a model defines itself. Serving has an operator for it; elsewhere a runtime reads the definition.
OWN = "tidegate"


class Graph:
    """Collects nodes and constants; gives a checked model."""

    def __init__(self, opset: int = 17):
        self.nodes, self.constants, self.functions, self.opset, self.count = [], [], [], opset, 0

    def constant(self, array, name: str | None = None) -> str:
        name = name or f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, kind: str, inputs: list, output: str | None = None, **attributes) -> str:
        self.count += 1
        output = output or f"{kind.lower()}_{self.count}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"n{self.count}", **attributes))
        return output

    def call(self, kind: str, build, inputs: list, output: str) -> str:
        """What `build(graph, *inputs)` would add, as a function of the model's own."""
        body, names = Graph(self.opset), [f"input_{i}" for i in range(len(inputs))]
        result = build(body, *names)
        constants = [helper.make_node("Constant", [], [c.name], value=c) for c in body.constants]
        sets = [helper.make_opsetid("", self.opset)]
        self.functions.append(helper.make_function(OWN, kind, names, [result], constants + body.nodes, sets))
        return self.node(kind, inputs, output, domain=OWN)

    def model(self, inputs: list, outputs: list) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "tidegate", inputs, outputs, self.constants)
        sets = [helper.make_opsetid("", self.opset), helper.make_opsetid(RUNTIME, 1)]
        sets += [helper.make_opsetid(OWN, 1)] if self.functions else []
        model = helper.make_model(graph, opset_imports=sets, functions=self.functions, ir_version=8, producer_name="tidegate")
        onnx.checker.check_model(model)
        return model

    def save(self, path: Path, inputs: list, outputs: list):
        path.write_bytes(self.model(inputs, outputs).SerializeToString())


def row_sum(graph: Graph, ids: str, table: str) -> str:
    """For each text the sum of its tokens' rows of `table`, in float."""
    picked = graph.node("Cast", [graph.node("Gather", [table, ids])], to=TensorProto.FLOAT)
    return graph.node("ReduceSum", [picked, graph.constant(np.array([1], np.int64))], keepdims=0)


def cut(graph: Graph, x: str, begin: int, end: int) -> str:
    """Columns from `begin` to before `end`."""
    begin, end, axis = (graph.constant(np.array([value], np.int64)) for value in (begin, end, 1))
    return graph.node("Slice", [x, begin, end, axis])


def ids_input(name: str, kind=TensorProto.INT32):
    return helper.make_tensor_value_info(name, kind, ["batch", "tokens"])


def logits_output(labels: int):
    return helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", labels])
