"""Widgets for JupyterLab; where there is no front end, each shows a figure instead."""

from a2lc.widgets.annotator import Annotator
from a2lc.widgets.approver import Approver
from a2lc.widgets.browser import MaskBrowser
from a2lc.widgets.keys import set_keys
from a2lc.widgets.rounds import Rounds
from a2lc.widgets.sentence_browser import SentenceBrowser

__all__ = ["Annotator", "Approver", "MaskBrowser", "Rounds", "SentenceBrowser", "set_keys"]
