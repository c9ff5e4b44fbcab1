from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from recsys_kedro.models.registry import MODELS
from recsys_kedro.options import Options
from recsys_kedro.tuning.options import TuningOptions
from recsys_kedro.tuning.space import (
    Choices,
    Range,
    WholeRange,
    dimensions_of,
    overlaid,
    values_of,
)


class Inner(Options):
    width: int = Field(16, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)


class Outer(Options):
    inner: Inner = Inner()
    half_life: float | None = Field(None, gt=0)
    neighbours: int | None = 100
    name: str = "a"
    on: bool = True


def parse(space) -> dict[str, Any]:
    return dimensions_of(Outer, space, "tuning.space.outer")


def test_dimensions_are_named_with_dots_and_know_their_type():
    found = parse(
        {
            "neighbours": {"low": 1, "high": 9},
            "inner": {"width": {"choices": [8, 16]}, "dropout": {"low": 0, "high": 0.5}},
            "half_life": {"choices": [None, 30]},
        }
    )
    assert list(found) == ["half_life", "inner.dropout", "inner.width", "neighbours"]
    assert found["neighbours"] == WholeRange(low=1, high=9)
    assert found["inner.dropout"] == Range(low=0, high=0.5)
    assert found["inner.width"] == Choices(choices=(8, 16))


def test_what_is_empty_is_not_tuned():
    """So that an environment can take an option out of the base's space, or change its kind."""
    assert parse({"name": None}) == {}
    both = {"half_life": {"low": None, "high": None, "choices": [1, 2]}}
    assert parse(both) == {"half_life": Choices(choices=(1, 2))}


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (
            {"inner": {"widht": {"choices": [1, 2]}}},
            r"outer\.inner\.widht: .* did you mean 'width'",
        ),
        ({"zzz": {"choices": [1, 2]}}, r"zzz: Outer has no such option; it has half_life, inner"),
        ({"inner": {"width": 8}}, r"outer\.inner\.width: 8 is no space"),
        ({"inner": {"width": {"choices": [0, 8]}}}, r"inner\.width: 0 is not valid: .* equal to 1"),
        ({"inner": {"width": {"low": 1.5, "high": 9}}}, r"inner\.width: 1\.5 is not valid: .*int"),
        (
            {"inner": {"dropout": {"low": 0, "high": 1}}},
            r"dropout: 1\.0 is not valid: .*less than 1",
        ),
        (
            {"half_life": {"low": 9, "high": 1}},
            r"half_life: .*low \(9\) has to be below high \(1\)",
        ),
        ({"neighbours": {"low": 0, "high": 1, "log": True}}, r"neighbours: .*above 0 with log"),
        ({"half_life": {"low": 1}}, r"half_life: high: Field required"),
        ({"half_life": {"low": 1, "choices": [1, 2]}}, r"half_life: .*either \{choices"),
        ({"half_life": {"lwo": 1, "high": 2}}, r"half_life: .*either \{choices"),
        ({"half_life": {}}, r"half_life: .*either \{choices"),
        ({"half_life": {"choices": [1]}}, r"half_life: choices: .*at least 2"),
        ({"half_life": {"choices": [1, 1]}}, r"half_life: .*named twice"),
        ({"name": {"low": 1, "high": 2}}, r"name: not a number, so it takes \{choices"),
        ({"on": {"low": 0, "high": 1}}, r"on: not a number"),
        ({"name": {"choices": ["a", 3]}}, r"name: 3 is not valid"),
    ],
)
def test_a_wrong_space_names_its_option(space, message):
    with pytest.raises(ValueError, match=message):
        parse(space)


def test_settings_give_the_point_that_a_search_begins_with():
    dimensions = parse(
        {"inner": {"width": {"choices": [8, 32]}}, "half_life": {"choices": [None, 1]}}
    )
    settings = Outer(inner=Inner(width=32))
    assert values_of(settings, dimensions, "models.outer[0]") == {
        "half_life": None,
        "inner.width": 32,
    }
    with pytest.raises(ValueError, match=r"models\.outer\[0\]: inner\.width is 16, .*\[8, 32\]"):
        values_of(Outer(), dimensions, "models.outer[0]")


def test_none_is_in_no_range():
    dimensions = parse({"half_life": {"low": 1, "high": 9}})
    with pytest.raises(ValueError, match="half_life is None"):
        values_of(Outer(), dimensions, "here")


@given(width=st.integers(1, 64), dropout=st.floats(0, 0.9), half_life=st.none() | st.floats(1, 9))
def test_values_laid_over_settings_are_the_values_of_the_result(width, dropout, half_life):
    dimensions = parse(
        {
            "inner": {"width": {"low": 1, "high": 64}, "dropout": {"low": 0, "high": 0.9}},
            "half_life": {"choices": list({None: 0, half_life: 0, 10: 0})},
        }
    )
    values = {"half_life": half_life, "inner.dropout": dropout, "inner.width": width}
    base = {"name": "b", "inner": {"width": 3}}
    settings = overlaid(base, values)
    assert values_of(Outer.model_validate(settings), dimensions, "here") == values
    assert settings["name"] == "b"
    assert base == {"name": "b", "inner": {"width": 3}}


SPACE = {"ease": {"l2": {"low": 1, "high": 9}}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "eas"}, "there is no model 'eas'"),
        ({"model": "ials"}, r"tuning\.space\.ials: nothing to tune"),
        ({"space": {"ease": {"l3": {"low": 1, "high": 2}}}}, r"space\.ease\.l3: .*mean 'l2'"),
        ({"space": {"easy": {}}}, "there is no model 'easy'"),
    ],
)
def test_tuning_options_name_what_is_wrong(tmp_path, changes, message):
    given = {"model": "ease", "folder": tmp_path, "space": SPACE}
    assert list(TuningOptions.model_validate(given).dimensions("ease")) == ["l2"]
    with pytest.raises(ValueError, match=message):
        TuningOptions.model_validate(given | changes)


def test_every_option_that_is_a_number_of_every_model_can_be_named():
    """The walk through nested options knows all annotations that models use."""
    for model in MODELS.values():
        for name, field in model.options_type.model_fields.items():
            with pytest.raises(ValueError, match=name):
                dimensions_of(model.options_type, {name: {"no": "space"}}, "here")
            assert field.annotation is not None
