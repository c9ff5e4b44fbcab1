"""Which of the training lists a hybrid learns from, how often, and by which features."""

from dataclasses import replace
from datetime import datetime

import numpy as np

from recsys_kedro.features import columns as f
from recsys_kedro.models.hybrid import HybridOptions
from recsys_kedro.ranking.season import SEASON_FEATURES
from recsys_kedro.training_lists import TrainingLists


def lists_to_learn_from(
    lists: TrainingLists, cut: datetime, options: HybridOptions
) -> TrainingLists:
    """The lists of the latest snapshots whose labels end by ``cut``, of enough to have many.

    With a season also those of all snapshots that lie in it, each as often as it weighs. Without
    the season of products unless all of these snapshots know it: where the log is too short for
    some, the ranker would learn 0 as "unknown" and be served it as "as usual", or meet the
    feature for the first time when it serves.

    Args:
        lists: all that there are.
        cut: UTC.
        options: how many snapshots, and the season.
    """
    recent = lists.known_at(cut, options.snapshots, options.lists)
    if options.season is None or recent.requests.is_empty():
        return _without_unknown_season(recent)
    known = lists.known_at(cut)
    times = known.requests[f.SNAPSHOT_TIME]
    since = recent.requests[f.SNAPSHOT_TIME].min()
    in_season = [time for time in times.unique().to_list() if options.season.contains(time)]
    repeats = np.where(times.is_in(in_season), options.season.weight, times >= since)
    rows = np.repeat(np.arange(len(times)), repeats)
    return _without_unknown_season(known.take(rows))


def _without_unknown_season(lists: TrainingLists) -> TrainingLists:
    """Without the season of products if some of the snapshots do not know it."""
    hidden = np.isin(lists.feature_names, SEASON_FEATURES)
    told = (lists.features[:, hidden] != 0).any(axis=1)
    query = np.repeat(np.arange(lists.requests.height), np.diff(lists.offsets))
    times = lists.requests[f.SNAPSHOT_TIME]
    knowing = times[np.unique(query[told])].n_unique()
    if not hidden.any() or knowing == times.n_unique():
        return lists
    return without_product_season(lists)


def without_product_season(lists: TrainingLists) -> TrainingLists:
    """The lists as if nobody knew the season of products; what learns from them is served so."""
    kept = ~np.isin(lists.feature_names, SEASON_FEATURES)
    scorers = lists.options.scorers.model_copy(update={"season_days": 0})
    return replace(
        lists,
        feature_names=tuple(np.array(lists.feature_names)[kept].tolist()),
        features=lists.features[:, kept],
        options=lists.options.model_copy(update={"scorers": scorers}),
    )
