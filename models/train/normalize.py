"""The text normalisation of serving: the program itself is asked, so that both read every text alike."""

import json
import os
import subprocess

# `cargo build --release -p tidegate` makes it; another place may be named.
PROGRAM = os.environ.get("TIDEGATE", "../target/release/tidegate")


def normalize_all(texts: list[str]) -> list[str]:
    """Texts as the classifier reads them, in the same order."""
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    done = subprocess.run([PROGRAM, "normalize"], input=lines.encode(), stdout=subprocess.PIPE, check=True)
    out = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(out) == len(texts), "tidegate normalize lost a line"
    return out
