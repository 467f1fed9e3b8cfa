"""Fitting what a round costs to the sizes it was played at, for `scale.py`: least squares on relative errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from generated import Case
from scipy.optimize import nnls

Sizes = dict[str, float]  # of one case: N, P (pixels of an image), M, K, B (answers)
Term = Callable[[Sizes], float]
TERMS: dict[str, Term] = {
    "1": lambda s: 1.0,
    "N": lambda s: s["N"],
    "P": lambda s: s["P"],
    "PK": lambda s: s["P"] * s["K"],
    "NP": lambda s: s["N"] * s["P"],
    "NPK": lambda s: s["N"] * s["P"] * s["K"],
    "M": lambda s: s["M"],
    "MK": lambda s: s["M"] * s["K"],
    "MK2": lambda s: s["M"] * s["K"] ** 2,
    "B": lambda s: s["B"],
}
MODELS = {  # what each number may depend on
    "seconds": {
        "prepare": ("1", "N", "NP", "M"),
        "start": ("1", "N", "NP", "M", "MK"),
        "predicted": ("1", "N", "NP", "NPK"),
        "scored": ("1", "N", "NP", "NPK", "M", "MK2"),
        "queried": ("1", "M"),
        "answered": ("1", "B"),
        "corrected": ("1", "B", "M", "MK"),
        "trained": ("1", "M", "P", "PK"),
    },
    "peak_mib": {
        stage: ("1", "N", "M", "MK", "P", "PK")
        for stage in ("prepare", "start", "scored", "queried", "answered", "corrected", "trained")
    },
    "bytes": {"object_maps": ("N", "NP", "M"), "table": ("1", "N", "M"), "round": ("1", "M", "B")},
}
FLOOR = {"seconds": 0.005, "peak_mib": 10.0, "bytes": 1000.0}  # below it a relative error means nothing


def sizes_of(case: Case) -> Sizes:
    """N, P, M, K, B."""
    total = case.images * case.masks
    answers = max(1, round(case.budget * total))
    pixels = case.height * case.width
    return {"N": case.images, "P": pixels, "M": total, "K": case.classes, "B": answers}


def fit(sizes: list[Sizes], values: np.ndarray, terms: tuple[str, ...], floor: float) -> np.ndarray:
    """(terms,) coefficients >= 0 that make the squared relative errors least."""
    design = np.array([[TERMS[term](s) for term in terms] for s in sizes])  # (cases, terms)
    weight = 1 / np.maximum(values, floor)
    scale = np.maximum((design * weight[:, None]).max(0), 1e-300)  # columns of equal size, for the solver
    return nnls(design * weight[:, None] / scale, values * weight)[0] / scale


def predicted(coefficients: np.ndarray, terms: tuple[str, ...], sizes: Sizes) -> float:
    """What a fit says."""
    return float(sum(c * TERMS[term](sizes) for c, term in zip(coefficients, terms, strict=True)))


def fits(measured: list[dict[str, Any]], target: Case) -> dict[str, Any]:
    """For each number: coefficients, errors, and what they say of `target`, with the least and the largest when any one
    case is left out of the fit."""
    sizes, goal = [sizes_of(case_of(m)) for m in measured], sizes_of(target)
    found: dict[str, Any] = {}
    for kind, models in MODELS.items():
        for name, terms in models.items():
            values = np.array([value_of(m, kind, name) for m in measured])
            coefficients = fit(sizes, values, terms, FLOOR[kind])
            fitted = np.array([predicted(coefficients, terms, s) for s in sizes])
            errors = np.abs(fitted - values) / np.maximum(values, FLOOR[kind])
            others = [
                predicted(fit(sizes[:i] + sizes[i + 1 :], np.delete(values, i), terms, FLOOR[kind]), terms, goal)
                for i in range(len(sizes))
            ]
            found.setdefault(kind, {})[name] = {
                "coefficients": dict(zip(terms, coefficients.tolist(), strict=True)),
                "median_error": float(np.median(errors)),
                "worst_error": float(errors.max()),
                "target": predicted(coefficients, terms, goal),
                "target_range": [min(others), max(others)],
            }
    return found


def value_of(measured: dict[str, Any], kind: str, name: str) -> float:
    """What is fitted: peaks above the process that has only imported; ``start`` without the scoring of validation
    images, which comes with a new model only and is measured in ``trained``."""
    found = float(measured[kind][name])
    less = {"peak_mib": "process", "seconds": "trained" if name == "start" else ""}.get(kind, "")
    return max(found - float(measured[kind][less]), 0.0) if less else found


def case_of(measured: dict[str, Any]) -> Case:
    """The case of a measurement."""
    return Case(**{name: measured["case"][name] for name in Case.__dataclass_fields__})


def held_out(measured: list[dict[str, Any]]) -> dict[str, float]:
    """Fitted to all but the largest images, against what was measured on them: a round without network."""
    large = max(measured, key=lambda m: sizes_of(case_of(m))["P"])
    told = fits([m for m in measured if m is not large], case_of(large))["seconds"]
    stages = ("scored", "queried", "answered", "corrected")
    found, real = sum(told[s]["target"] for s in stages), sum(large["seconds"][s] for s in stages)
    return {"held_out_predicted_s": found, "held_out_measured_s": real, "held_out_ratio": found / real}
