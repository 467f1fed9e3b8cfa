"""Initial labels: Grounded-SAM, a noise model for datasets without its output, and what is measured on either kind.

What it offers is listed in ``__init__.pyi`` and imported when it is first used: a configuration needs no PyTorch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
