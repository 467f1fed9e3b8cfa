"""GroundingDINO: from an image and class names to boxes, each with a class.

The network is groundingdino-py's own, called directly: its inference helper unpickles weights and fixes the input size.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.ops import box_convert, box_iou
from torchvision.transforms.v2.functional import normalize, pil_to_tensor, resize

from a2lc.pseudo_labels.packages import autocast, quiet, require_packages
from a2lc.pseudo_labels.prompts import ClassPrompt
from a2lc.pseudo_labels.weights import load_state

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, which the detector was trained with
QUERIES = 900  # of the published network: the boxes it looks at
STRIDES = (8, 16, 32, 64)  # of its feature maps
SAME_OBJECT = 0.7  # intersection over union at which boxes of two prompts are taken for one object


@dataclass(frozen=True)
class Detections:
    """The n boxes of an image.

    Attributes:
        boxes: (n, 4) float32: x0, y0, x1, y1 in pixels; they may reach beyond the image.
        labels: (n,) int64 class ids.
        scores: (n,) float32 in [0, 1].
        phrases: n names, as the prompt writes them.
    """

    boxes: torch.Tensor
    labels: NDArray[np.int64]
    scores: NDArray[np.float32]
    phrases: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


class Detector:
    """Finds boxes.

    Args:
        model: a GroundingDINO network, moved to `device`.
        prompt: the class list.
        box_threshold: boxes whose strongest token scores higher are kept.
        input_size: pixels of the shorter side of the network's input, and at most of the longer one.
        device: where it runs.
        dtype: of matrix products; float32 or, on a GPU, a half precision.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        prompt: ClassPrompt,
        box_threshold: float,
        input_size: Sequence[int],
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.model = model.to(device).eval()
        self.prompt = prompt
        self.box_threshold = box_threshold
        self.input_size = input_size
        self.device = device
        self.dtype = dtype

    def __call__(self, image: NDArray[np.uint8]) -> Detections:
        """The boxes of an (H, W, 3) uint8 RGB image, in the order of the network's queries, prompt after prompt.

        Of two prompts' boxes around the same object only the one that scores higher stays: each prompt answers with
        the best of its own classes.

        Raises:
            ValueError: as `input_shape`.
        """
        pixels = self._input(image)
        found = [self._ask(pixels, number, caption) for number, caption in enumerate(self.prompt.captions)]
        height, width = image.shape[:2]
        boxes = torch.cat([one.boxes for one in found]) * torch.tensor([width, height, width, height])
        merged = Detections(
            box_convert(boxes, "cxcywh", "xyxy"),
            np.concatenate([one.labels for one in found]),
            np.concatenate([one.scores for one in found]),
            tuple(phrase for one in found for phrase in one.phrases),
        )
        return merged if len(found) == 1 else _best_of_prompts(merged, np.repeat(range(len(found)), [*map(len, found)]))

    def _input(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """(H, W, 3) uint8 -> (1, 3, h, w) float32, resized by Pillow as in the released code."""
        resized = resize(Image.fromarray(image), list(input_shape(image.shape, self.input_size)))
        return normalize(pil_to_tensor(resized).float() / 255, list(MEAN), list(STD))[None].to(self.device)

    def _ask(self, pixels: torch.Tensor, number: int, caption: str) -> Detections:
        """The boxes of one prompt: cx, cy, w, h in shares of the image."""
        with torch.inference_mode(), quiet(), autocast(self.device, self.dtype):
            answer = self.model(pixels, captions=[caption])
        probs = answer["pred_logits"][0].float().sigmoid().cpu().numpy()  # (Q, T)
        assigned = self.prompt.assign(number, probs)
        kept = np.flatnonzero(assigned.scores > self.box_threshold)
        boxes = answer["pred_boxes"][0].float().cpu()[kept]  # (n, 4)
        return Detections(
            boxes, assigned.labels[kept], assigned.scores[kept], tuple(assigned.phrases[int(k)] for k in kept)
        )


def input_shape(shape: Sequence[int], input_size: Sequence[int]) -> tuple[int, int]:
    """Height and width of the detector's input for an image of shape (H, W, ...), as in GroundingDINO's transforms.

    Raises:
        ValueError: the input has fewer positions than the detector has queries.
    """
    height, width = shape[:2]
    short, long = min(height, width), max(height, width)
    side, most = input_size
    if long / short * side > most:
        side = round(most * short / long)
    other = int(side * long / short)
    size = (side, other) if height <= width else (other, side)
    if sum(-(-size[0] // stride) * -(-size[1] // stride) for stride in STRIDES) < QUERIES:
        found = f"{height} x {width} pixels, {size[0]} x {size[1]} as the detector's input"
        raise ValueError(f"image of {found}: too thin or small for its {QUERIES} queries, expected a larger input_size")
    return size


def load_grounding_dino(weights: Path, bert: Path) -> torch.nn.Module:
    """GroundingDINO with Swin-T and its published weights, on the CPU.

    Args:
        weights: the checked file ``groundingdino_swint_ogc.pth``.
        bert: folder of the text encoder.

    Raises:
        ImportError: a package is missing, or transformers is too new.
        ValueError: the file is damaged or lacks parameters of the network.
    """
    require_packages()
    from groundingdino import config
    from groundingdino.models import build_model
    from groundingdino.util.slconfig import SLConfig

    with quiet():
        args = SLConfig.fromfile(os.path.join(config.__path__[0], "GroundingDINO_SwinT_OGC.py"))
        args.text_encoder_type = os.fspath(bert)
        args.use_checkpoint = args.use_transformer_ckpt = False  # these save memory in training only
        model = build_model(args)
    state = load_state(weights)
    if "model" not in state:
        raise ValueError(f"{weights}: expected weights under 'model', found {sorted(state)[:5]}")
    parameters = {name.removeprefix("module."): value for name, value in state["model"].items()}
    missing = model.load_state_dict(parameters, strict=False).missing_keys  # it holds a little more than is used
    if missing:
        raise ValueError(f"{weights}: lacks {len(missing)} parameters of GroundingDINO, among them {missing[:3]}")
    return model.eval()


def _best_of_prompts(found: Detections, prompt: NDArray[np.int64]) -> Detections:
    """Without boxes that a higher-scoring box of another prompt covers; at equal scores the earlier prompt stays."""
    overlap = box_iou(found.boxes, found.boxes).numpy() > SAME_OBJECT  # (n, n)
    score = found.scores
    better = (score[None] > score[:, None]) | ((score[None] == score[:, None]) & (prompt[None] < prompt[:, None]))
    kept = np.flatnonzero(~(overlap & better & (prompt[None] != prompt[:, None])).any(1))
    phrases = tuple(found.phrases[int(k)] for k in kept)
    return Detections(found.boxes[kept], found.labels[kept], found.scores[kept], phrases)
