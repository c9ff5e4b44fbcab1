"""Experiments: who sees which variant, what followed from it, and what may be concluded.

The statistics are numpy and scipy on sums that Polars makes. Why not a library for them:
tea-tasting 2 needs Python 3.12, and 1.14, which runs on 3.11, pulls in ibis with its pins and
has no intervals that stay valid under daily looks. statsmodels has Welch, power and corrections
for many tests, each of which is a line or two of scipy here, but neither ratio metrics with
CUPED by the delta method nor always-valid intervals. scipy is in the project anyway and
has the distributions. Each formula names its paper.
"""
