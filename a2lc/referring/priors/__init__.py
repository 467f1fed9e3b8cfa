"""Priors: what a frozen model says where the named object is, as boxes and as a soft proposal, kept per image."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
