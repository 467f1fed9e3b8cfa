"""Backpropagation and Adam for multilayer perceptrons so small that bookkeeping would take most of the time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from torch.optim.adam import adam


class MLPTrainer:
    """Trains multilayer perceptrons of the same shape side by side, each as autograd and `torch.optim.Adam` would, a
    single one bit by bit, in about a third of the time: backpropagation through the layers is written out, and Adam
    sees one vector of each.

    ``Optimizer.step`` and a backward pass through eight tensors cost 0.5 ms however small the tensors are.

    Args:
        networks: linear layers with ReLU in between, float32 on the CPU; their parameters become views of one tensor.
            Of a single one, F is left out of all shapes below.
        learning_rate: of Adam, > 0.
    """

    def __init__(self, networks: Sequence[nn.Sequential], learning_rate: float) -> None:
        self._learning_rate, self._single = learning_rate, len(networks) == 1
        self._product = torch.mm if self._single else torch.bmm
        weights = torch.stack([parameters_to_vector(network.parameters()).detach() for network in networks])
        for network, values in zip(networks, weights, strict=True):
            vector_to_parameters(values, network.parameters())
        state = [weights, *(torch.zeros_like(weights) for _ in range(3))]  # also gradient, mean, square
        self._state = [[*part.unbind()] for part in state]
        self._steps = [torch.zeros(()) for _ in networks]
        shapes = [parameter.shape for parameter in networks[0].parameters()]
        values, gradients = (self._parts(part, shapes) for part in state[:2])
        self._layers = list(zip(values[::2], values[1::2], gradients[::2], gradients[1::2], strict=True))

    def _parts(self, values: torch.Tensor, shapes: Sequence[torch.Size]) -> list[torch.Tensor]:
        parts = values.split([shape.numel() for shape in shapes], 1)
        found = [part.unflatten(1, shape) for part, shape in zip(parts, shapes, strict=True)]
        return [part[0] for part in found] if self._single else found

    @torch.no_grad()
    def step(self, features: torch.Tensor, loss: Callable[[torch.Tensor], torch.Tensor], first: int = 0) -> None:
        """Let each network from `first` on learn from a batch of its own.

        Args:
            features: (F, n, C) float32.
            loss: logits (F, n, K) float32 -> the sum of the networks' losses; differentiated by autograd.
            first: the networks before it learn nothing.
        """
        layers = [[part[first:] for part in layer] for layer in self._layers] if first else self._layers
        inputs = [features]  # of each layer
        for weight, bias, _, _ in layers[:-1]:
            inputs.append(self._linear(inputs[-1], weight, bias).relu_())
        logits = self._linear(inputs[-1], *layers[-1][:2]).requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(loss(logits), logits)
        for (weight, _, weight_gradient, bias_gradient), x in zip(reversed(layers), reversed(inputs), strict=True):
            self._product(gradient.mT, x, out=weight_gradient)
            torch.sum(gradient, -2, out=bias_gradient)
            if x is not features:
                gradient = torch.where(x > 0, self._product(gradient, weight), 0.0)
        self._adam(first)

    def _linear(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return F.linear(x, weight, bias) if self._single else torch.baddbmm(bias[:, None], x, weight.mT)

    def _adam(self, first: int) -> None:
        """One update with PyTorch's defaults (Kingma and Ba 2015)."""
        weights, gradients, means, squares = ([*part[first:]] for part in self._state)
        adam(
            weights,
            gradients,
            means,
            squares,
            [],
            self._steps[first:],
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self._learning_rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )
