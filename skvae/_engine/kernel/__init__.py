"""The model's arithmetic written out, for the parts that most models are made of.

What torch's modules and autograd do in hundreds of small operations takes a third of them here,
and the time of a step or a score goes with their number. Everything is feature-major,
(features, rows): products of thin layers are then several times as fast.
"""

from .network import Kernel, kernel_for

__all__ = ["Kernel", "kernel_for"]
