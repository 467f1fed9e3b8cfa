"""Annotation formats of other programs, in and out: an object of theirs is a mask here, and what is written are their
own files with other classes in them.

What it offers is listed in ``__init__.pyi`` and imported when it is first used: ``a2lc --help`` waits for no package.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
