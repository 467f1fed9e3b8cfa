"""Everything between a person and a run: queue and approval, undo, CSV files, and the way back into a dataset.

What it offers is listed in ``__init__.pyi`` and imported when it is first used: ``a2lc --help`` waits for no package.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
