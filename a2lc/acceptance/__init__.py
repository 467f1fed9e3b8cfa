"""Which corrections to trust, learnt from answers: a pessimistic contextual bandit, and what it is compared with.

After the published description of "Learning to Label" (arXiv 2605.28239v1), whose method section was not at hand; what
is here is a choice of this package, beyond the paper of A²LC. Arrays in, arrays out: the LCM is `a2lc.correction`'s.
What it offers is listed in ``__init__.pyi`` and imported when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
