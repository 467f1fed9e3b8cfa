"""What only the superpixel baselines of Table 2 do: their rounds, merging superpixels and sieving their pixels
(MerSpx), learning from sets of classes (MulSpx)."""

from a2lc.baselines.merging import adjacency, merge
from a2lc.baselines.sieving import sieve

__all__ = ["adjacency", "merge", "sieve"]
