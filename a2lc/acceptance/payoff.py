"""What a correction is worth: how it changes mIoU if the new label is right, if the old one was, or if neither is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

GUESSED_IOU = 0.5  # of a class, as long as nobody has measured it
LEAST = 1e-3  # of all pixels: added to those of each class, so that a class of a few pixels is not worth everything


@dataclass(frozen=True)
class Payoffs:
    """Of n corrections, (n,) floats each.

    Attributes:
        new: if the new label is right.
        old: if the old label was right.
        neither: if neither is.
    """

    new: np.ndarray
    old: np.ndarray
    neither: np.ndarray

    @classmethod
    def of_labels(cls, number: int) -> Payoffs:
        """A label repaired counts 1, one spoilt -1."""
        return cls(np.ones(number), -np.ones(number), np.zeros(number))

    def stakes(self) -> np.ndarray:
        """(n,) the largest payoff or loss of each."""
        return np.asarray(np.maximum(np.maximum(abs(self.new), abs(self.old)), abs(self.neither)))

    def received(self, new_right: np.ndarray, old_right: np.ndarray) -> np.ndarray:
        """(n,) what came out, of (n,) bools; both are not right at once."""
        return np.where(new_right, self.new, np.where(old_right, self.old, self.neither))


def miou_payoffs(
    old: np.ndarray, new: np.ndarray, area: np.ndarray, union: np.ndarray, iou: np.ndarray | float = GUESSED_IOU
) -> Payoffs:
    """Payoffs in points of mIoU, to first order in a mask's share of its classes.

    With a = area, U = union and k = IoU of the old class o and the new class n: a mask that becomes right adds a/U_n to
    the IoU of n and, as it leaves the union of o, k_o a/U_o to that of o; one that becomes wrong takes a/U_o from o and
    k_n a/U_n from n; one that stays wrong leaves one union for the other.

    Args:
        old: (n,) labels, K = void, which no IoU counts.
        new: (n,) other labels, 0..K-1.
        area: (n,) pixels.
        union: (K,) pixels in the union of each class's labels and ground truth, > 0; those labelled so stand for it.
        iou: (K,) IoU of each class, or one guess.
    """
    k = len(union)
    pixels = np.append(union.astype(float), np.inf)  # void
    shares = np.append(np.broadcast_to(iou, k), 0.0)
    of_old, of_new, scale = area / pixels[old], area / pixels[new], 100 / k
    left, entered = shares[old] * of_old, shares[new] * of_new
    return Payoffs(scale * (of_new + left), -scale * (of_old + entered), scale * (left - entered))


def pixels_of(labels: np.ndarray, area: np.ndarray, num_classes: int) -> np.ndarray:
    """(K,) pixels labelled as each class, and a thousandth of all: what stands for unions that nobody knows.

    Args:
        labels: (M,) labels, K = void.
        area: (M,) pixels.
        num_classes: K.
    """
    found = np.bincount(labels, weights=area, minlength=num_classes + 1)[:num_classes]
    return np.asarray(found + LEAST * area.sum())
