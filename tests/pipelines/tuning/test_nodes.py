from datetime import timedelta

import polars as pl
import pytest
import yaml

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.models.registry import MODELS
from recsys_kedro.pipelines.tuning.nodes import write_tuned_settings


@pytest.fixture(scope="module")
def five(run_search, tmp_path_factory):
    return run_search(tmp_path_factory.mktemp("five"))


def decided(result):
    """The result without how long its trials took, and when."""
    every = {place: {"started", "seconds"} for place in range(len(result.trials))}
    return result.model_dump(exclude={"trials": every})


def test_nothing_of_the_test_window_is_read(
    run_search, five, shop, shop_events, shop_snapshots, shop_split, tmp_path
):
    """Everybody takes one product all day long from the test's first moment: nothing changes."""
    start = shop_split.test_start
    poison = shop_events.filter(pl.col(c.TIMESTAMP) >= start).with_columns(
        pl.lit(shop.products[c.PRODUCT_ID][0]).alias(c.PRODUCT_ID),
        pl.lit(c.PURCHASE).alias(c.EVENT_TYPE),
        pl.lit(-1e9).alias(c.PRICE),
        timestamp=start,
    )
    past = shop_events.filter(pl.col(c.TIMESTAMP) < start)
    snapshots = shop_snapshots.with_columns(
        pl.when(pl.col(f.SNAPSHOT_TIME) < start).then(pl.col(c.PRICE)).otherwise(pl.lit(-1e9))
    )
    assert poison.height > 100
    poisoned = run_search(tmp_path, events=pl.concat([past, poison]), snapshots=snapshots)
    assert decided(poisoned) == decided(five)


def test_the_window_before_does_count(run_search, five, shop_events, shop_split, tmp_path):
    """So that the test above can fail."""
    late = shop_split.validation_start - timedelta(days=1)
    known = shop_events.filter(pl.col(c.TIMESTAMP) < late)
    assert run_search(tmp_path, events=known).study != five.study


def test_settings_can_be_pasted(result):
    text = write_tuned_settings(result)
    pasted = yaml.safe_load(text)["models"]["item_knn"]
    best = result.trial(result.best)
    kind = MODELS["item_knn"].options_type
    assert [kind.model_validate(each) for each in pasted] == [kind.model_validate(best.settings)]
    assert pasted[0].keys() >= {"neighbours", "own_weight"}
    comment = " ".join(line[2:] for line in text.splitlines() if line.startswith("# "))
    assert comment == f"Trial {best.number} of study {result.study}. {result.verdict}"


def test_default_is_the_better_preset(result):
    presets = [trial for trial in result.trials if trial.preset is not None]
    assert [trial.values["neighbours"] for trial in presets] == [20, 100]
    assert result.trial(result.default).score == max(trial.score for trial in presets)
    assert result.trial(result.best).score == max(trial.score for trial in result.trials)
