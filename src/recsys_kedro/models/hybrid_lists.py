"""Which of the training lists a hybrid learns from, how often, and by which features."""

from dataclasses import replace
from datetime import datetime

import numpy as np
import polars as pl

from recsys_kedro.features import columns as f
from recsys_kedro.models.hybrid import HybridOptions
from recsys_kedro.ranking.season import SEASON_FEATURES
from recsys_kedro.training_lists import TrainingLists

ENOUGH = 0.5  # of the snapshots; below it a feature that they lack is not learned


def lists_to_learn_from(
    lists: TrainingLists, cut: datetime, options: HybridOptions
) -> TrainingLists:
    """The lists of the latest snapshots whose labels end by ``cut``.

    With a season also those of all snapshots that lie in it, each as often as it weighs. Without
    the season of products where most of the snapshots cannot tell it: it would be a feature that
    the ranker meets for the first time when it serves.

    Args:
        lists: all that there are.
        cut: UTC.
        options: how many snapshots, and the season.
    """
    recent = lists.known_at(cut, options.snapshots)
    if options.season is None:
        return _without_thin_season(recent)
    known = lists.known_at(cut)
    times = known.requests[f.SNAPSHOT_TIME]
    since = recent.requests[f.SNAPSHOT_TIME].min()
    in_season = [time for time in times.unique().to_list() if options.season.contains(time)]
    repeats = pl.select(
        pl.when(times.is_in(in_season)).then(options.season.weight).otherwise(times >= since)
    ).to_series()
    rows = np.repeat(np.arange(len(times)), repeats.to_numpy())
    return _without_thin_season(known.take(rows))


def _without_thin_season(lists: TrainingLists) -> TrainingLists:
    """Without the season of products if too few of the snapshots know it."""
    hidden = np.isin(lists.feature_names, SEASON_FEATURES)
    told = (lists.features[:, hidden] != 0).any(axis=1)
    query = np.repeat(np.arange(lists.requests.height), np.diff(lists.offsets))
    times = lists.requests[f.SNAPSHOT_TIME]
    knowing = times[np.unique(query[told])].n_unique()
    if not hidden.any() or knowing >= ENOUGH * times.n_unique():
        return lists
    scorers = lists.options.scorers.model_copy(update={"season_days": 0})
    return replace(
        lists,
        feature_names=tuple(np.array(lists.feature_names)[~hidden].tolist()),
        features=lists.features[:, ~hidden],
        options=lists.options.model_copy(update={"scorers": scorers}),
    )
