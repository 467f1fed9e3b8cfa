"""Beyond the paper: which masks are suspicious and what they should be called, in seconds and without training a
network: logistic regression on features of each mask.

What it offers is listed in ``__init__.pyi`` and imported when it is first used: a configuration needs no PyTorch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
