"""Segmentation models: DeepLabV3+, a light network, frozen features, networks of other libraries, and the protocol that
lets users plug in their own.

What it offers is listed in ``__init__.pyi`` and imported when it is first used: a configuration needs no PyTorch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
