"""A small shop for ranking: four products of two categories, as of its 100th day."""

import numpy as np
import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.queries import build_queries
from recsys_kedro.ranking.product_state import product_state
from recsys_kedro.ranking.scorers import ScorerOptions, behaviours, fit_scorers
from recsys_kedro.ranking.snapshot import Snapshot
from recsys_kedro.schemas import PRODUCTS, UTC_TIME
from recsys_kedro.vocabulary import Vocabulary

AS_OF = 100
CATEGORIES = {"a": "lamps", "b": "lamps", "c": "chairs", "d": None}
NO_CONTENT = pl.DataFrame(
    schema={name: column.dtype.type for name, column in PRODUCTS.columns.items()}
)
PRICES = {"a": 10.0, "b": 20.0, "c": 40.0, "d": None}


def _make_features(products=CATEGORIES, **columns):
    """Product features as of a snapshot; what is not given is 0, the age 500 days."""
    ids = list(products)
    given = {
        c.CATEGORY: [CATEGORIES.get(id_) for id_ in ids],
        c.PRICE: [PRICES.get(id_) for id_ in ids],
        f.PRODUCT_AGE_DAYS: [500] * len(ids),
        **dict.fromkeys((f.VIEWS_1D, f.VIEWS_7D, f.VIEWS_30D), [0] * len(ids)),
        **dict.fromkeys((f.CONVERSION_RATE, f.TRENDING_SCORE), [0.0] * len(ids)),
    }
    types = {c.CATEGORY: pl.String, c.PRICE: pl.Float64, f.PRODUCT_AGE_DAYS: pl.Int64}
    return pl.DataFrame({c.PRODUCT_ID: ids} | given | columns, schema_overrides=types)


@pytest.fixture(scope="session")
def make_features():
    return _make_features


@pytest.fixture(scope="session")
def make_snapshot(day):
    """A snapshot as of the 100th day, of all products in the features or the vocabulary."""

    def snapshot(events, features=None, vocabulary=None, **options):
        features = _make_features() if features is None else features
        vocabulary = vocabulary or Vocabulary.fit(features[c.PRODUCT_ID])
        categories = Vocabulary.fit(features[c.CATEGORY])
        options = ScorerOptions(**options)
        weights = behaviours(events, (c.PURCHASE,), options)
        return Snapshot(
            fit_scorers(events, NO_CONTENT, vocabulary, day(AS_OF), weights, options),
            product_state(features, vocabulary, categories),
            vocabulary,
            categories,
        )

    return snapshot


@pytest.fixture(scope="session")
def ask(day):
    """One query per user as of the 100th day; further columns go with the requests."""

    def queries(events, *users, at=AS_OF, **columns):
        requests = pl.DataFrame({c.USER_ID: users}, schema={c.USER_ID: pl.String})
        as_of = pl.lit(day(at), UTC_TIME).alias(c.AS_OF)
        given = [pl.Series(name, values) for name, values in columns.items()]
        return build_queries(events, requests.with_columns(as_of, *given))

    return queries


@pytest.fixture(scope="session")
def random_events(make_events):
    """500 events of 40 users with 60 products; the last weeks lie after the snapshot."""
    rng = np.random.default_rng(8)
    kinds = rng.choice([c.PURCHASE, c.PRODUCT_VIEW, c.RETURN], 500, p=[0.5, 0.4, 0.1])
    return make_events(
        *(
            (f"u{user}", f"p{int(product):02}", int(at), str(kind))
            for user, product, at, kind in zip(
                rng.integers(0, 40, 500),
                60 * rng.random(500) ** 2,
                rng.integers(0, 120, 500),
                kinds,
                strict=True,
            )
        )
    )


@pytest.fixture(scope="session")
def random_features():
    rng = np.random.default_rng(9)
    ids = [f"p{number:02}" for number in range(60)]
    return _make_features(
        ids,
        **{
            c.CATEGORY: [f"category {number % 7}" if number % 9 else None for number in range(60)],
            c.PRICE: [float(number) if number % 5 else None for number in range(60)],
            f.PRODUCT_AGE_DAYS: [number * 7 if number % 4 else None for number in range(60)],
            f.VIEWS_7D: rng.integers(0, 50, 60).tolist(),
            f.CONVERSION_RATE: rng.random(60).tolist(),
        },
    )
