"""DeepLabV3+ (Chen et al. 2018) as in the authors' experiments: output stride 16, ordinary convolutions throughout.

Parameter names follow VainF's DeepLabV3Plus-Pytorch, so that its checkpoints load as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from a2lc.segmenter.backbones import Backbone
from a2lc.segmenter.head import last_layer

if TYPE_CHECKING:
    from torchvision.models.mobilenetv2 import InvertedResidual, MobileNetV2
    from torchvision.models.resnet import ResNet

ATROUS_RATES = (6, 12, 18)
LOW_LEVEL_CHANNELS = {"resnet18": 64, "resnet50": 256, "resnet101": 256, "mobilenet_v2": 24}
HIGH_LEVEL_CHANNELS = {"resnet18": 512, "resnet50": 2048, "resnet101": 2048, "mobilenet_v2": 320}


class DeepLabV3Plus(nn.Module):
    """Backbone, ASPP and a decoder with one skip connection.

    Args:
        num_classes: K.
        backbone: ``resnet18``, ``resnet50``, ``resnet101`` or ``mobilenet_v2`` of torchvision, or a `Backbone` of timm
            that gives maps at strides 4 and 16.
        pretrained: start torchvision's backbone from its ImageNet weights.
        head: the last layer, ``linear`` or ``cosine``.
    """

    def __init__(
        self, num_classes: int, backbone: str | Backbone = "resnet101", pretrained: bool = False, head: str = "linear"
    ) -> None:
        super().__init__()
        self.backbone: nn.Module
        if isinstance(backbone, Backbone):
            self.backbone, (low, high) = backbone, backbone.channels
        else:
            from torchvision.models import get_model  # takes seconds, which networks of other packages need not wait
            from torchvision.models.resnet import ResNet

            trunk = get_model(backbone, weights="IMAGENET1K_V1" if pretrained else None)
            self.backbone = ResNetBackbone(trunk) if isinstance(trunk, ResNet) else MobileNetBackbone(trunk)
            low, high = LOW_LEVEL_CHANNELS[backbone], HIGH_LEVEL_CHANNELS[backbone]
        self.classifier = Head(low, high, num_classes, head)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Normalised images (N, 3, H, W) -> what the last layer sees, (N, 256, H/4, W/4)."""
        return self.classifier.features(*self.backbone(images))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Normalised images (N, 3, H, W) float32 -> logits (N, K, H, W), bilinear from stride 4."""
        logits = self.classifier(*self.backbone(images))  # (N, K, H/4, W/4)
        return _resize(logits, images)


class Head(nn.Module):
    """ASPP on the high-level features, joined with 48 projected low-level channels."""

    def __init__(self, low_level_channels: int, high_level_channels: int, num_classes: int, head: str) -> None:
        super().__init__()
        self.project = _conv_bn_relu(low_level_channels, 48, 1)
        self.aspp = ASPP(high_level_channels)
        self.classifier = nn.Sequential(*_conv_bn_relu(48 + 256, 256, 3), last_layer(head, 256, num_classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def features(self, low_level: torch.Tensor, high_level: torch.Tensor) -> torch.Tensor:
        """(N, C_low, H/4, W/4) and (N, C_high, H/16, W/16) -> what the last layer sees, (N, 256, H/4, W/4)."""
        low = self.project(low_level)
        high = _resize(self.aspp(high_level), low)
        return self.classifier[:-1](torch.cat([low, high], dim=1))

    def forward(self, low_level: torch.Tensor, high_level: torch.Tensor) -> torch.Tensor:
        """(N, C_low, H/4, W/4) and (N, C_high, H/16, W/16) -> logits (N, K, H/4, W/4)."""
        return self.classifier[-1](self.features(low_level, high_level))


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: a 1x1, three dilated 3x3 and one image-wide branch, 256 channels each."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        pooling = nn.Sequential(nn.AdaptiveAvgPool2d(1), *_conv_bn_relu(in_channels, 256, 1))
        dilated = [_conv_bn_relu(in_channels, 256, 3, rate) for rate in ATROUS_RATES]
        self.convs = nn.ModuleList([_conv_bn_relu(in_channels, 256, 1), *dilated, pooling])
        self.project = nn.Sequential(*_conv_bn_relu(5 * 256, 256, 1), nn.Dropout(0.1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) -> (N, 256, h, w)."""
        branches = [branch(features) for branch in self.convs]
        branches[-1] = branches[-1].expand_as(branches[0])  # (N, 256, 1, 1) -> (N, 256, h, w)
        return self.project(torch.cat(branches, dim=1))


class ResNetBackbone(nn.Module):
    """A torchvision ResNet without its classifier; layer 4 is dilated instead of strided."""

    def __init__(self, trunk: ResNet) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu, self.maxpool = trunk.conv1, trunk.bn1, trunk.relu, trunk.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4
        for index, block in enumerate(self.layer4):
            _dilate(block, 1 if index == 0 else 2)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, 3, H, W) -> features of layer 1 at stride 4 and of layer 4 at stride 16."""
        low = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(images)))))
        return low, self.layer4(self.layer3(self.layer2(low)))


class MobileNetBackbone(nn.Module):
    """torchvision's MobileNetV2 up to its 320 channels; the blocks of the last stride are dilated instead.

    As in the released networks, a block is padded before its first convolution rather than before the depthwise one,
    and the first convolution of the network is not padded: otherwise their checkpoints give other logits at the
    borders.
    """

    def __init__(self, trunk: MobileNetV2) -> None:
        super().__init__()
        layers = trunk.features[:-1]
        layers[0][0].padding = (0, 0)
        for index in range(1, len(layers)):
            if index >= 14:  # the stage of 160 channels and what follows: stride 32 -> 16
                _dilate(layers[index], 1 if index == 14 else 2)
            layers[index] = EarlyPadding(layers[index])
        self.low_level_features = layers[:4]
        self.high_level_features = layers[4:]

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, 3, H, W) -> features at stride 4 (24 channels) and at stride 16 (320 channels)."""
        low = self.low_level_features(images)
        return low, self.high_level_features(low)


class EarlyPadding(nn.Module):
    """An inverted residual block whose input is padded as its depthwise convolution needs."""

    def __init__(self, block: InvertedResidual) -> None:
        super().__init__()
        self.conv, self.residual, self.padding = block.conv, block.use_res_connect, 0
        for conv in block.conv.modules():
            if isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3):
                self.padding, conv.padding = conv.dilation[0], (0, 0)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) -> (N, C', h / stride, w / stride)."""
        out = self.conv(F.pad(features, [self.padding] * 4))
        return features + out if self.residual else out


def _dilate(block: nn.Module, dilation: int) -> None:
    """Take the stride out of a residual block and dilate its 3x3 convolutions."""
    for conv in block.modules():
        if isinstance(conv, nn.Conv2d):
            conv.stride = (1, 1)
            if conv.kernel_size == (3, 3):
                conv.dilation = conv.padding = (dilation, dilation)


def _conv_bn_relu(in_channels: int, out_channels: int, kernel: int, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=padding, dilation=dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


def _resize(features: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Bilinear, to the height and width of `like`."""
    return F.interpolate(features, size=like.shape[-2:], mode="bilinear", align_corners=False)
