"""Arrays in one small file that can be carried to another machine; network weights are rounded to a few bits a row."""

import json
import lzma
import struct
import zlib
from pathlib import Path

import numpy as np


def rounded(array: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """A matrix as whole numbers of `bits` bits and one scale for each row."""
    top = 2 ** (bits - 1) - 1
    scale = np.maximum(np.abs(array).max(1, keepdims=True), 1e-9) / top
    return np.rint(array / scale).astype(np.int8), scale.astype(np.float32)


def _coded(array: np.ndarray) -> tuple[str, bytes]:
    raw = np.ascontiguousarray(array).tobytes()
    if array.dtype == np.int8:
        # Weights have no patterns, only a distribution: Huffman codes alone are as small and far quicker.
        coder = zlib.compressobj(9, zlib.DEFLATED, 15, 9, zlib.Z_HUFFMAN_ONLY)
        return "zlib", coder.compress(raw) + coder.flush()
    return "xz", lzma.compress(raw, preset=3)


def save(path: Path, arrays: dict, notes: dict | None = None):
    """Writes arrays by name, and notes that JSON can hold."""
    head, body = {"notes": notes or {}, "arrays": {}}, []
    for name, array in arrays.items():
        how, raw = _coded(array)
        head["arrays"][name] = [how, len(raw), array.dtype.str, list(array.shape)]
        body.append(raw)
    top = json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(top)) + top + b"".join(body))


def load(path: Path) -> tuple[dict, dict]:
    """Arrays by name, and the notes."""
    raw = path.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    head, at, arrays = json.loads(raw[8 : 8 + size]), 8 + size, {}
    for name, (how, length, kind, shape) in head["arrays"].items():
        plain = (zlib if how == "zlib" else lzma).decompress(raw[at : at + length])
        arrays[name] = np.frombuffer(plain, dtype=np.dtype(kind)).reshape(shape)
        at += length
    return arrays, head["notes"]


def round_weights(tensors: dict, bits: int) -> dict:
    """Matrices rounded, everything else as it is."""
    out = {}
    for name, array in tensors.items():
        if array.ndim == 2:
            out[name], out[name + "/scale"] = rounded(array, bits)
        else:
            out[name] = array.astype(np.float32)
    return out


def full_weights(arrays: dict) -> dict:
    """What `round_weights` made, as float matrices again."""
    return {name: array.astype(np.float32) * arrays[name + "/scale"] if name + "/scale" in arrays else array.copy()
            for name, array in arrays.items() if not name.endswith("/scale")}
