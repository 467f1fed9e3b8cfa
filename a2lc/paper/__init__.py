"""Everything between runs and the paper's tables and figures."""
