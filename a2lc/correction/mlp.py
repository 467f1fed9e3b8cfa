"""Backpropagation and Adam for a multilayer perceptron so small that bookkeeping would take most of the time."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from torch.optim.adam import adam


class MLPTrainer:
    """Trains a multilayer perceptron as autograd and `torch.optim.Adam` would, bit by bit, in about a third of the
    time: backpropagation through its layers is written out, and Adam sees one vector.

    ``Optimizer.step`` and a backward pass through eight tensors cost 0.5 ms however small the tensors are.

    Args:
        layers: linear layers with ReLU in between, float32 on the CPU; their parameters become views of one vector.
        learning_rate: of Adam, > 0.
    """

    def __init__(self, layers: nn.Sequential, learning_rate: float) -> None:
        parameters = list(layers.parameters())
        self._learning_rate = learning_rate
        self._weights = parameters_to_vector(parameters).detach()
        vector_to_parameters(self._weights, parameters)
        self._gradient, self._mean, self._square = (torch.zeros_like(self._weights) for _ in range(3))
        self._steps = torch.zeros(())
        parts = self._gradient.split([p.numel() for p in parameters])
        gradients = [part.view_as(p) for part, p in zip(parts, parameters, strict=True)]
        values = [p.detach() for p in parameters]
        self._layers = list(zip(values[::2], values[1::2], gradients[::2], gradients[1::2], strict=True))

    @torch.no_grad()
    def step(self, features: torch.Tensor, loss: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Learn from one batch of n.

        Args:
            features: (n, C) float32.
            loss: logits (n, K) float32 -> a number; differentiated by autograd.
        """
        inputs = [features]  # of each layer
        for weight, bias, _, _ in self._layers[:-1]:
            inputs.append(F.linear(inputs[-1], weight, bias).relu_())
        logits = F.linear(inputs[-1], *self._layers[-1][:2]).requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(loss(logits), logits)
        for (weight, _, weight_gradient, bias_gradient), x in zip(
            reversed(self._layers), reversed(inputs), strict=True
        ):
            torch.mm(gradient.t(), x, out=weight_gradient)
            torch.sum(gradient, 0, out=bias_gradient)
            if x is not features:
                gradient = torch.where(x > 0, gradient @ weight, 0.0)
        self._adam()

    def _adam(self) -> None:
        """One update with PyTorch's defaults (Kingma and Ba 2015)."""
        adam(
            [self._weights],
            [self._gradient],
            [self._mean],
            [self._square],
            [],
            [self._steps],
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self._learning_rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )
