"""Measures how many short texts a second one thread scores inside ONNX Runtime: `python -m train.bench FOLDER`."""

import sys
import time
from pathlib import Path

import numpy as np

from .bundle import session


def rate(path: Path, batch: int, tokens: int, vocabulary: int, seconds: float = 0.2, rounds: int = 10) -> tuple[float, float]:
    """Texts a second, best of some rounds: by the wall clock and by processor time (for a busy machine)."""
    run, rng = session(path), np.random.default_rng(0)
    ids = [np.minimum(5 + rng.zipf(1.3, (batch, tokens)), vocabulary - 1).astype(np.int32) for _ in range(8)]
    wall = processor = 0.0
    for _ in range(rounds):
        began, used, done = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - began < seconds:
            run.run(None, {"input_ids": ids[done % 8]})
            done += 1
        wall = max(wall, done * batch / (time.perf_counter() - began))
        processor = max(processor, done * batch / (time.process_time() - used))
    return wall, processor


if __name__ == "__main__":
    for batch in (256, 512, 1024):
        wall, processor = rate(Path(sys.argv[1]) / "model.onnx", batch, 16, 30000)
        print(f"batch {batch}, 16 tokens: {wall:,.0f} texts/s (wall), {processor:,.0f} texts per processor second")
