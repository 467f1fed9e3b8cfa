"""Correcting labels: the annotators that answer queries, and the Label Correction Module that learns from the answers.

What it offers is listed in ``__init__.pyi`` and imported when it is first used: a configuration needs no PyTorch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
