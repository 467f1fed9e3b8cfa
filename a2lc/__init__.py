"""a2lc: active and automated label correction for semantic segmentation (A²LC, AAAI 2026), reproducible round by
round.

What it offers is listed in ``__init__.pyi`` and imported when it is first used, so that commands that need no network
do not wait for PyTorch.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
