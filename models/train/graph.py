"""Writes ONNX graphs by hand, so that the exported file holds just the operators that serving runs."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# Operators that ONNX Runtime adds to the standard's.
RUNTIME = "com.microsoft"


class Graph:
    """Collects nodes and constants; gives a checked model."""

    def __init__(self, opset: int = 17):
        self.nodes, self.constants, self.opset, self.count = [], [], opset, 0

    def constant(self, array, name: str | None = None) -> str:
        name = name or f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, kind: str, inputs: list, output: str | None = None, **attributes) -> str:
        self.count += 1
        output = output or f"{kind.lower()}_{self.count}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"n{self.count}", **attributes))
        return output

    def model(self, inputs: list, outputs: list) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "tidegate", inputs, outputs, self.constants)
        sets = [helper.make_opsetid("", self.opset), helper.make_opsetid(RUNTIME, 1)]
        model = helper.make_model(graph, opset_imports=sets, ir_version=8, producer_name="tidegate")
        onnx.checker.check_model(model)
        return model

    def save(self, path: Path, inputs: list, outputs: list):
        path.write_bytes(self.model(inputs, outputs).SerializeToString())


def ids_input(name: str, kind=TensorProto.INT32):
    return helper.make_tensor_value_info(name, kind, ["batch", "tokens"])


def logits_output(labels: int):
    return helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", labels])
