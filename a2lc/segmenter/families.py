"""Networks of other libraries, chosen by name in a configuration: segmentation-models-pytorch, and SegFormer and
Mask2Former of transformers. Both are optional; no code outside the installed packages is ever run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from a2lc.machine import SMP, TRANSFORMERS, require
from a2lc.segmenter.backbones import COARSEST, features_only, stages_at
from a2lc.segmenter.pretrained import HUB_FILES, BackboneWeights
from a2lc.segmenter.settings import SegmenterSettings
from a2lc.segmenter.weight_files import file_hash

CLASSES = {"segformer": "SegformerForSemanticSegmentation", "mask2former": "Mask2FormerForUniversalSegmentation"}
CONFIGS = {"segformer": "SegformerConfig", "mask2former": "Mask2FormerConfig"}
LEAST = 1e-6  # a pixel that no query of Mask2Former claims


class SmpNetwork(nn.Module):
    """An architecture of segmentation-models-pytorch on a backbone of timm.

    Args:
        settings: architecture, backbone and the normalisation of random weights.
        num_classes: K.
        weights: of the backbone; None: random ones.

    Raises:
        MissingExtraError: timm or segmentation-models-pytorch is missing.
        ValueError: timm knows no such backbone, or the architecture cannot take it.
    """

    def __init__(self, settings: SegmenterSettings, num_classes: int, weights: BackboneWeights | None) -> None:
        super().__init__()
        library = _package(SMP)
        stages_at(settings.backbone, ())  # timm knows it
        name = settings.architecture
        try:
            model = library.create_model(name, f"tu-{settings.backbone}", encoder_weights=None, classes=num_classes)
        except (TypeError, ValueError, NotImplementedError, RuntimeError) as error:
            reason = str(error).partition("\n")[0]
            raise ValueError(
                f"segmenter: {name!r} cannot take the backbone {settings.backbone!r} ({reason})"
            ) from error
        self.backbone, self.decoder, self.classifier = model.encoder, model.decoder, model.segmentation_head
        if weights is not None:
            state = features_only(settings.backbone, weights=weights).state_dict()
            self.backbone.model.load_state_dict({key: state[key] for key in self.backbone.model.state_dict()})
        for key, value in (("mean", (weights or settings).mean), ("std", (weights or settings).std)):
            self.backbone.register_buffer(key, torch.tensor(value))

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Normalised images (N, 3, H, W) -> what the last layer sees, (N, C, h, w)."""
        return self.decoder(self.backbone(_padded(images)))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Normalised images (N, 3, H, W) -> logits (N, K, H, W)."""
        logits: torch.Tensor = self.classifier(self.features(images))  # of the padded images
        return _cropped(logits, images)


class TransformersNetwork(nn.Module):
    """SegFormer or Mask2Former.

    Mask2Former's queries are summed up to scores of pixels, as its authors do for semantic segmentation, and it is
    trained on these like the other networks; its own loss matches queries with segments.

    Args:
        settings: network, backbone (a name on the hub), weights (a folder instead) and ``offline``.
        num_classes: K.
        pretrained: whether to take weights; else they are random, in the sizes of the folder or the library's own.
        saved: weights that `TorchSegmenter.save` wrote, which know their sizes.

    Raises:
        MissingExtraError: transformers is missing.
        ValueError: damaged weights, or those of another network.
        FileNotFoundError: the weights are nowhere and may or can not be downloaded.
    """

    config: torch.Tensor

    def __init__(
        self,
        settings: SegmenterSettings,
        num_classes: int,
        pretrained: bool,
        saved: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        super().__init__()
        library = _package(TRANSFORMERS)
        self.kind, kind = settings.network, getattr(library, CLASSES[settings.network])
        self.model: Any
        if pretrained and saved is None:
            self.model = _from_pretrained(kind, settings, num_classes)
        else:
            known = getattr(library, CONFIGS[settings.network])
            if saved is not None and "config" in saved:
                config = known.from_dict(json.loads(bytes(saved["config"].tolist())))
            elif settings.weights is not None:
                config = known.from_pretrained(settings.weights, local_files_only=True)
            else:
                config = known()
            config.num_labels = num_classes
            self.model = kind(config)
        text = json.dumps(self.model.config.to_diff_dict(), sort_keys=True)
        self.register_buffer("config", torch.from_numpy(np.frombuffer(text.encode(), np.uint8).copy()))

    @property
    def backbone(self) -> nn.Module:
        """The encoder, which learns slowly."""
        model = self.model
        return model.segformer if self.kind == "segformer" else model.model.pixel_level_module.encoder

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Normalised images (N, 3, H, W) -> what the last layer sees (SegFormer), or the maps that queries are compared
        with (Mask2Former): (N, C, h, w)."""
        model = self.model
        if self.kind == "mask2former":
            return model.model.pixel_level_module(_padded(images)).decoder_last_hidden_state
        seen: list[torch.Tensor] = []
        hook = model.decode_head.classifier.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            model(_padded(images))
        finally:
            hook.remove()
        return seen[0]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Normalised images (N, 3, H, W) -> logits (N, K, h, w) at a quarter of the size."""
        out: Any = self.model(_padded(images))
        if self.kind == "segformer":
            logits = out.logits
        else:
            classes = out.class_queries_logits.float().softmax(-1)[..., :-1]  # (N, Q, K)
            masks = out.masks_queries_logits.float().sigmoid()  # (N, Q, h, w)
            logits = torch.einsum("nqk,nqhw->nkhw", classes, masks).clamp(min=LEAST).log()
        stride = _padded(images).shape[-1] // logits.shape[-1]
        return logits[..., : -(-images.shape[-2] // stride), : -(-images.shape[-1] // stride)]


def weights_of_transformers(settings: SegmenterSettings) -> dict[str, object]:
    """Which weights a network of transformers starts from, and what its pixels are normalised with, for a run's
    provenance; empty where they are random.

    Returns:
        ``backbone``, ``mean``, ``std`` and, of files that are there, ``weights`` and ``sha256`` over their hashes.

    Raises:
        FileNotFoundError: the folder of weights is missing.
    """
    if not settings.pretrained:
        return {}
    about: dict[str, object] = {"backbone": settings.backbone, "mean": list(settings.mean), "std": list(settings.std)}
    if settings.weights is not None:
        files = [path for path in sorted(settings.weights.iterdir()) if path.suffix in (".safetensors", ".bin")]
    else:
        from huggingface_hub import try_to_load_from_cache

        cached = (try_to_load_from_cache(settings.backbone, file) for file in HUB_FILES)
        files = [Path(path) for path in cached if isinstance(path, str)]
    if not files:
        return about
    sha256 = hashlib.sha256("".join(map(file_hash, files)).encode()).hexdigest()
    return about | {"weights": str(settings.weights or "the hub's cache"), "sha256": sha256}


def _from_pretrained(kind: Any, settings: SegmenterSettings, num_classes: int) -> nn.Module:
    """The weights of a folder, else of the hub's cache, else downloaded; a classifier of another size is made anew."""
    from safetensors import SafetensorError

    options = {"num_labels": num_classes, "ignore_mismatched_sizes": True, "trust_remote_code": False}
    options["weights_only"] = True  # of files that are pickles
    given, name = settings.weights, settings.backbone
    for source, local in ((given, True), (name, True), (name, False)):
        if source is None or (not local and settings.offline):
            continue
        try:
            model: nn.Module = kind.from_pretrained(source, local_files_only=local, **options)
            return model
        except OSError as error:
            reason = str(error).strip().partition("\n")[0]
        except (ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise ValueError(f"{source}: no weights of {settings.network} ({reason})") from error
        if source is given:
            raise FileNotFoundError(f"segmenter.weights: {given}: {reason}")
    now = " (now offline)" if settings.offline else ""
    raise FileNotFoundError(f"no weights of {name!r} in the hub's cache, and none downloaded{now}: {reason}")


def _package(module: str) -> Any:
    require(module)
    return import_module(module)


def _padded(images: torch.Tensor) -> torch.Tensor:
    """Zeros at the right and bottom, to multiples of the coarsest stride."""
    height, width = images.shape[-2:]
    return F.pad(images, (0, -width % COARSEST, 0, -height % COARSEST))


def _cropped(maps: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return maps[..., : like.shape[-2], : like.shape[-1]]
