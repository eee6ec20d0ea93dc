"""Measures how many texts a second one thread scores inside ONNX Runtime: `python -m train.bench FOLDER`."""

import os
import sys
import time
from pathlib import Path

import numpy as np

from .bundle import session


def rate(path: Path, batch: int, tokens: int, vocabulary: int, seconds: float = 0.2, rounds: int = 10) -> tuple[float, float]:
    """Texts a second, best of some rounds: by the wall clock and by processor time (for a busy machine)."""
    run, rng = session(path), np.random.default_rng(0)
    masked = len(run.get_inputs()) > 1
    kind = np.int64 if masked else np.int32
    ids = [np.minimum(5 + rng.zipf(1.3, (batch, tokens)), vocabulary - 1).astype(kind) for _ in range(8)]
    more = {"attention_mask": np.ones((batch, tokens), kind)} if masked else {}
    run.run(None, {"input_ids": ids[0], **more})
    wall = processor = 0.0
    for _ in range(rounds):
        began, used, done = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - began < seconds:
            run.run(None, {"input_ids": ids[done % 8], **more})
            done += 1
        wall = max(wall, done * batch / (time.perf_counter() - began))
        processor = max(processor, done * batch / (time.process_time() - used))
    return wall, processor


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    deep = (folder / "manifest.toml").exists() and "attention_mask" in (folder / "manifest.toml").read_text()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    for batch, tokens in ((1, 16), (8, 16), (16, 16), (8, 32), (16, 32)) if deep else ((256, 16), (512, 16), (1024, 16)):
        wall, processor = rate(folder / "model.onnx", batch, tokens, 28000)
        print(f"batch {batch}, {tokens} tokens: {wall:,.0f} texts/s (wall), {processor:,.0f} texts per processor second")
