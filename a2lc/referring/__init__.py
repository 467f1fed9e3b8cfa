"""Referring expressions: segment what a sentence names, from few labelled images and a frozen model's priors.

After the published description of "Learning to Label" (arXiv 2605.28239v1), whose method section was not at hand: what
the description leaves open is a choice of this package (docs/referring.md). What it offers is listed in
``__init__.pyi`` and imported when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
