"""Training steps as CUDA graphs: launching a step's kernels one by one takes a GPU longer than running them."""

import torch


class Steps:
    """Runs `step(kind, *tensors)`, with one recording for each kind, whose tensors must have one shape; on a CPU it just runs it. The
    first step of a kind runs as it is, which prepares what recording must not do (choice of kernels, optimizer state); the second
    is recorded."""

    def __init__(self, step, device: str):
        self.step, self.device = step, device
        self.forget()

    def forget(self):
        """Records anew: the step computes otherwise from here on."""
        self.recordings, self.memory = {}, None

    def __call__(self, kind, *tensors):
        if self.device == "cpu":
            self.step(kind, *tensors)
        elif kind not in self.recordings:
            # On the stream that recording will use, as torch asks.
            beside = torch.cuda.Stream()
            beside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(beside):
                self.step(kind, *tensors)
            torch.cuda.current_stream().wait_stream(beside)
            self.recordings[kind] = None
        else:
            graph, places = self.recordings[kind] or self.record(kind, tensors)
            for place, value in zip(places, tensors):
                place.copy_(value)
            graph.replay()

    def record(self, kind, tensors: tuple) -> tuple:
        """The recording, and where it takes its tensors from."""
        places, graph = [t.clone() for t in tensors], torch.cuda.CUDAGraph()
        # Nothing that a step allocates outlives it, so all recordings can share memory.
        with torch.cuda.graph(graph, pool=self.memory):
            self.step(kind, *places)
        self.memory = graph.pool()
        self.recordings[kind] = (graph, places)
        return graph, places
