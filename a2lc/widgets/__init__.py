"""Widgets for JupyterLab; where there is no front end, each shows a figure instead."""

from a2lc.widgets.browser import MaskBrowser

__all__ = ["MaskBrowser"]
