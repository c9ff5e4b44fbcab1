import pytest

from recsys_kedro import columns as c
from recsys_kedro.experiments.coverage import coverage_totals
from recsys_kedro.experiments.exposures import exposed_units
from recsys_kedro.experiments.unit_metrics import COVERAGE, sufficient_statistics


def log(size, variant, product):
    return [
        {c.USER_ID: f"{variant}{n}", c.VARIANT: variant, c.PRODUCT_ID: product(n)}
        for n in range(size)
    ]


def test_batches_of_equal_size_make_unequal_variants_comparable(make_impressions, scope):
    shown = make_impressions(
        *log(35, "small", lambda n: f"p{n}"),
        *log(95, "large", lambda n: f"p{n}"),
    )
    totals = coverage_totals(exposed_units(shown, scope), shown, products=200, batch_units=10)
    found = sufficient_statistics(totals, [COVERAGE])
    assert found.select(c.VARIANT, "units").rows() == [("large", 9), ("small", 3)]
    shares = found["sum_numerator"].to_list()
    assert shares == pytest.approx([9 * 10 / 200, 3 * 10 / 200])


def test_a_product_counts_once_in_a_batch(make_impressions, scope):
    shown = make_impressions(*log(20, "a", lambda n: f"p{n % 2}"))
    totals = coverage_totals(exposed_units(shown, scope), shown, products=10, batch_units=20)
    assert totals.collect()["shown_share"].to_list() == [2 / 10]
