"""The presets: which switches make which method of the paper."""

from __future__ import annotations

from typing import Any

_A2LC = {"acquisition": "abc", "query": "mask", "lcm": True, "non_redundant": True, "similarity": "mean"}
_ALC = {"acquisition": "sim", "query": "pixel", "lcm": False, "non_redundant": True, "similarity": "representative"}


def _superpixels(side: int) -> dict[str, Any]:
    return {"kind": "superpixels", "superpixels": {"side": side}}


METHODS: dict[str, dict[str, Any]] = {
    "a2lc": _A2LC,
    "a2lc_no_lcm": _A2LC | {"lcm": False},
    "alc": _ALC | {"non_redundant": False},
    "alc_non_redundant": _ALC,
    "alc_lcm": _ALC | {"lcm": True},
    "alc_abc": _ALC | {"acquisition": "abc", "similarity": "mean"},
    "alc_lcm_abc": _ALC | {"lcm": True, "acquisition": "abc", "similarity": "mean"},
    "spx": _A2LC | {"lcm": False, "acquisition": "clsbal", "pseudo_labels": _superpixels(32)},
    "merspx": _A2LC
    | {
        "lcm": False,
        "acquisition": "merspx",
        "query": "merged",
        "non_redundant": False,
        "pseudo_labels": _superpixels(16),
    },
    "mulspx": _A2LC
    | {
        "lcm": False,
        "acquisition": "pixbal",
        "query": "classes",
        "pseudo_labels": _superpixels(32),
        "segmenter": {"head": "cosine"},
    },
    "full_supervision": _A2LC | {"lcm": False, "rounds": 0, "pseudo_labels": {"kind": "ground_truth"}},
}
"""The methods and their switches.

A²LC, the same with nobody but the annotator correcting, and the baseline ALC; the rows of Table 5, which lead from ALC
without repetition by LCM, ABC and both to A²LC, which queries at mask level; the superpixel baselines of Table 2
(`a2lc.baselines`), which start from images without labels; and the model trained on all of the ground truth.
"""
