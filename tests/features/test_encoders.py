"""Encoders of whole feature tables."""

import dataclasses

import narwhals as nw
import numpy as np
import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.features import columns as f
from recsys_kedro.features.encoders import (
    PRODUCT_NUMBERS,
    USER_NUMBERS,
    ProductEncoder,
    UserEncoder,
)
from recsys_kedro.features.encoding import Tokens
from recsys_kedro.features.options import EncoderOptions, FeatureOptions
from recsys_kedro.features.product import product_features
from recsys_kedro.features.user import user_features

OPTIONS = EncoderOptions(min_count=1, text_buckets=64)


@pytest.fixture(scope="module")
def tables(random_shop):
    events, products, users = (nw.from_native(t.lazy()) for t in random_shop(4))
    as_of = random_shop(4)[0][c.TIMESTAMP].max()
    product = product_features(events, products, as_of, FeatureOptions())
    user = user_features(events, products, users, as_of, FeatureOptions())
    return product.to_native().collect(), user.to_native().collect()


def assert_same_arrays(left, right):
    for field in dataclasses.fields(left):
        values = [getattr(arrays, field.name) for arrays in (left, right)]
        packed = isinstance(values[0], Tokens)
        for one, other in zip(*values, strict=True) if packed else [values]:
            np.testing.assert_array_equal(one, other)


def test_product_arrays(tables):
    products = tables[0]
    encoder = ProductEncoder.fit(products, OPTIONS)
    arrays = encoder.transform(products)
    missing = products[c.CATEGORY].is_null().to_numpy()
    assert missing.any()
    assert (arrays.category_index == 0).tolist() == missing.tolist()
    assert arrays.category_index.max() == len(encoder.category) - 1
    assert arrays.numbers.shape == (products.height, len(encoder.numbers.names))
    assert np.isfinite(arrays.numbers).all()
    assert np.isnan(arrays.price).tolist() == products[c.PRICE].is_null().to_list()
    assert arrays.words.offsets[-1] == 3 * (products[c.NAME].is_not_null()).sum()
    scores = arrays.numbers[:, : len(PRODUCT_NUMBERS)]
    np.testing.assert_allclose(scores.mean(axis=0), 0, atol=1e-4)


def test_product_encoder_survives_saving_and_knows_snapshots(tables, tmp_path):
    products = tables[0]
    encoder = ProductEncoder.fit(products, OPTIONS)
    encoder.save(tmp_path)
    loaded = ProductEncoder.load(tmp_path)
    assert_same_arrays(loaded.transform(products), encoder.transform(products))
    assert {path.suffix for path in tmp_path.iterdir()} == {".parquet", ".json"}
    snapshot = encoder.transform(products.drop(c.NAME))
    assert snapshot.words.offsets.tolist() == [0] * (products.height + 1)


def test_a_category_that_appears_later_is_unknown(tables):
    products = tables[0]
    encoder = ProductEncoder.fit(products, OPTIONS)
    later = products.with_columns(pl.lit("new category").alias(c.CATEGORY))
    assert set(encoder.transform(later).category_index.tolist()) == {1}


def test_user_arrays_share_the_categories_of_the_products(tables):
    products, users = tables
    product_encoder = ProductEncoder.fit(products, OPTIONS)
    encoder = UserEncoder.fit(users, product_encoder, OPTIONS)
    arrays = encoder.transform(users)
    assert arrays.category_index.shape == (users.height, 5)
    first = product_encoder.category.transform(users[f.TOP_CATEGORIES[0]])
    assert arrays.category_index[:, 0].tolist() == first.tolist()
    assert arrays.hour_index.tolist() == [hour + 1 for hour in users[f.PEAK_HOUR]]
    assert arrays.weekday_index.max() <= 7
    assert arrays.numbers.shape == (users.height, len(encoder.numbers.names))


def test_a_user_without_purchases_has_no_low_price(tables):
    products, users = tables
    encoder = UserEncoder.fit(users, ProductEncoder.fit(products, OPTIONS), OPTIONS)
    arrays = encoder.transform(users)
    none = ~users[f.HAS_PURCHASE_PRICE].to_numpy()
    assert none.any()
    column = USER_NUMBERS.index(f.AVG_PURCHASE_PRICE)
    assert set(arrays.numbers[none, column].tolist()) == {0.0}
    assert arrays.numbers[:, -1].tolist() == none.astype(float).tolist()
    assert np.isnan(arrays.price).tolist() == none.tolist()


def test_user_encoder_survives_saving(tables, tmp_path):
    products, users = tables
    encoder = UserEncoder.fit(users, ProductEncoder.fit(products, OPTIONS), OPTIONS)
    encoder.save(tmp_path)
    assert_same_arrays(UserEncoder.load(tmp_path).transform(users), encoder.transform(users))


def test_what_the_shop_knows_of_a_user_today_is_not_learned(tables):
    products, users = tables
    encoder = UserEncoder.fit(users, ProductEncoder.fit(products, OPTIONS), OPTIONS)
    richer = users.with_columns(pl.col(c.LIFETIME_VALUE) + 1_000)
    assert_same_arrays(encoder.transform(richer), encoder.transform(users))
