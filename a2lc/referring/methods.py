"""What is compared: presets of `a2lc.referring.Experiment`, all on the same images, seeds, steps and network."""

from __future__ import annotations

from typing import Any

METHODS: dict[str, dict[str, Any]] = {
    "prior_only": {"trains": False, "rounds": 0, "acceptance": "none"},
    "supervised": {"rounds": 0, "uses_prior": False, "guides": False, "acceptance": "none"},
    "fixed": {"uses_prior": False, "guides": False, "acceptance": "fixed", "fixed_gate": 2, "balanced": False},
    "fixed_low": {"uses_prior": False, "guides": False, "acceptance": "fixed", "fixed_gate": 4, "balanced": False},
    "fixed_prior": {"guides": False, "acceptance": "fixed", "fixed_gate": 2, "balanced": False},
    "rple_no_prior": {"uses_prior": False, "guides": False},
    "rple": {"guides": False},
    "full": {},
    "classifier": {"pessimism": 0.0},
    "policy_gradient": {"acceptance": "policy_gradient"},
    "reinforce": {"acceptance": "reinforce"},
    "full_supervision": {"rate": 1.0, "rounds": 0, "uses_prior": False, "guides": False, "acceptance": "none"},
}
"""Name -> the fields that make it; ``full`` is every default."""

ABOUT = {
    "prior_only": "the frozen model alone, nothing is trained",
    "supervised": "labelled images only",
    "fixed": "pseudo-labels where the network is at least 0.9 sure",
    "fixed_low": "the same from 0.65 on",
    "fixed_prior": "at least 0.9 sure, network and prior fused",
    "rple_no_prior": "a gate per sentence, learnt from rewards, without the prior",
    "rple": "the same with the prior in states and fusion",
    "full": "and the prior guides the network and evolves",
    "classifier": "full, but the bandit is no pessimist",
    "policy_gradient": "full, but gates by the exact policy gradient",
    "reinforce": "full, but gates by REINFORCE",
    "full_supervision": "every image is labelled",
}
"""Name -> what it is, in a few words."""
