"""A training step as one CUDA graph: a GPU then does not wait for Python between operations."""

import torch

from .step import update

__all__ = ["steps_of"]


def steps_of(optimizer, gradient, rows, generator, *, is_recordable):
    """Choose how steps are taken: replayed on a GPU where they can be, else one by one.

    Parameters
    ----------
    optimizer : AdamW
    gradient : callable
        Of `gradient_of`.
    rows : (x, observed), each a Tensor of shape (n, n_columns)
    generator : torch.Generator
    is_recordable : bool
        Whether a step is the same operations each time, none of which waits for its result.

    Returns
    -------
    take : callable
        Of positions in the rows and as `update`, whose result it returns.
    """
    kind = _Replayed if is_recordable and generator.device.type == "cuda" else _OneByOne
    return kind(optimizer, gradient, rows, generator)


class _OneByOne:
    """Steps as they come."""

    def __init__(self, optimizer, gradient, rows, generator):
        self._optimizer, self._gradient, self._rows = optimizer, gradient, rows

    def __call__(self, places, objective, learning_rate, hidden_rows):
        return update(
            self._optimizer,
            self._gradient,
            [part.index_select(0, places) for part in self._rows],
            objective,
            learning_rate=learning_rate,
            hidden_rows=hidden_rows,
        )


class _Replayed(_OneByOne):
    """The second step is recorded, and replayed from then on; what changes lies on the GPU."""

    def __init__(self, optimizer, gradient, rows, generator):
        super().__init__(optimizer, gradient, rows, generator)
        self._generator, self._graph = generator, None
        self._changing = torch.zeros(2, device=generator.device)
        self._places = self._elbo = None

    def __call__(self, places, objective, learning_rate, hidden_rows):
        self._changing.copy_(torch.tensor([learning_rate, hidden_rows]))
        if self._places is None:
            self._places = places.clone()
            return self._step(objective)
        self._places.copy_(places)
        if self._graph is None:
            self._record(objective)
        self._graph.replay()
        return self._elbo.clone()

    def _step(self, objective):
        return super().__call__(self._places, objective, *self._changing)

    def _record(self, objective):
        self._graph = torch.cuda.CUDAGraph()
        self._graph.register_generator_state(self._generator)
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._elbo = self._step(objective)
