"""What `a2lc.rounds` plays its stages with: what stays the same in a run, round 0, and corrections under approval."""
