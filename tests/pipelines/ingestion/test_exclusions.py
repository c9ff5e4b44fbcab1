import polars as pl
import pytest

from recsys_kedro import columns as c
from recsys_kedro.pipelines.ingestion.exclusions import excluded_by
from recsys_kedro.pipelines.ingestion.options import ExclusionRule, IngestionOptions, ShopOptions

RAW = pl.DataFrame(
    {"user": ["u1", "", None], "code": ["12345", "POST", "54321"], "price": [0.0, 2.5, -1.0]}
)


def options(*rules):
    return IngestionOptions(shop="mine", shops={"mine": ShopOptions(exclude=rules)})


@pytest.mark.parametrize(
    ("test", "column", "expected"),
    [
        ({"empty": True}, "user", [False, True, True]),
        ({"matches": "^P"}, "code", [False, True, False]),
        ({"not_matches": r"^\d{5}"}, "code", [False, True, False]),
        ({"equals": ["POST"]}, "code", [False, True, False]),
        ({"equals": [0]}, "price", [True, False, False]),
        ({"below": 0}, "price", [False, False, True]),
    ],
)
def test_each_test_of_a_rule(test, column, expected):
    excluded = excluded_by(RAW, options(ExclusionRule(name="r", column=column, **test)))

    assert excluded.is_not_null().to_list() == expected


def test_first_rule_that_holds_counts():
    rules = [
        ExclusionRule(name="no_user", column="user", empty=True),
        ExclusionRule(name="postage", column="code", equals=["POST"]),
    ]

    assert excluded_by(RAW, options(*rules)).to_list() == [None, "no_user", "no_user"]


def test_line_that_could_not_be_read_is_not_excluded():
    raw = RAW.with_columns(pl.Series(c.MALFORMED, [None, "{", None]))
    rule = ExclusionRule(name="no_user", column="user", empty=True)

    assert excluded_by(raw, options(rule)).to_list() == [None, None, "no_user"]


def test_unknown_column_names_the_rule_and_the_nearest():
    rule = ExclusionRule(name="no_user", column="users", empty=True)
    with pytest.raises(ValueError, match=r"exclude \('no_user'\).*Did you mean 'user'"):
        excluded_by(RAW, options(rule))
