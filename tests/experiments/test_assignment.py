from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recsys_kedro.experiments.assignment import assign, bucket, choose_variant
from recsys_kedro.experiments.declarations import Experiment, Experiments, Holdout, Layer, Variant

START = datetime(2025, 3, 3, tzinfo=UTC)
END = START + timedelta(days=28)
UNITS = [f"user-{number}" for number in range(10_000)]


def experiment(weights, **options):
    variants = {name: Variant(weight=weight) for name, weight in weights.items()}
    return Experiment(
        start=START, end=END, control=next(iter(weights)), variants=variants, **options
    )


def one_layer(holdout=0.0, **experiments):
    return Experiments(
        holdout=Holdout(share=holdout), layers={"layer": Layer(experiments=experiments)}
    )


def variants(experiments, name="test", units=UNITS):
    """The variant of each unit in an experiment; None for who is not in it."""
    found = (assign(experiments, unit, START).active for unit in units)
    return [next((a.variant for a in active if a.experiment == name), None) for active in found]


def within_binomial_bounds(count, chance):
    low, high = stats.binom.interval(1 - 1e-6, len(UNITS), chance)
    return low <= count <= high


@given(st.text(), st.text(), st.text())
def test_a_bucket_is_stable_and_in_its_range(salt, other_salt, unit):
    assert 0 <= bucket(salt, unit) < 1
    assert bucket(salt, unit) == bucket(salt, unit)
    assert (bucket(salt, unit) == bucket(other_salt, unit)) == (salt == other_salt)


def test_a_bucket_is_the_same_on_every_machine_and_in_every_version():
    """The first 53 bits of what `printf 'salt\\0unit' | b2sum -l 64` prints."""
    assert bucket("salt", "unit") == (0x962564521E179B29 >> 11) / 2**53


def test_buckets_are_uniform():
    assert stats.kstest([bucket("salt", unit) for unit in UNITS], "uniform").pvalue > 1e-4


@pytest.mark.parametrize("weights", [{"a": 1, "b": 1}, {"a": 1, "b": 9}, {"a": 2, "b": 3, "c": 5}])
def test_weights_are_kept(weights):
    chosen = variants(one_layer(test=experiment(weights)))
    for name, weight in weights.items():
        assert within_binomial_bounds(chosen.count(name), weight / sum(weights.values()))


def test_the_same_answer_at_any_time_of_the_experiment():
    declared = one_layer(test=experiment({"a": 1, "b": 1}))
    last = END - timedelta(microseconds=1)
    for unit in UNITS[:50]:
        assert assign(declared, unit, START) == assign(declared, unit, last)
        assert assign(declared, unit, START - timedelta(microseconds=1)).active == ()
        assert assign(declared, unit, END).active == ()


def test_layers_are_independent():
    first, second = experiment({"a": 1, "b": 2}), experiment({"a": 1, "b": 2})
    both = Experiments(
        layers={
            "one": Layer(experiments={"first": first}),
            "two": Layer(experiments={"second": second}),
        }
    )
    table = np.zeros((2, 2))
    pairs = zip(variants(both, "first"), variants(both, "second"), strict=True)
    for one, other in pairs:
        table["ab".index(one), "ab".index(other)] += 1
    assert stats.chi2_contingency(table).pvalue > 1e-4


def test_who_takes_part_in_one_layer_is_as_likely_in_the_other():
    half = {"buckets": (0, 0.5)}
    both = Experiments(
        layers={
            "one": Layer(experiments={"first": experiment({"a": 1, "b": 1}, **half)}),
            "two": Layer(experiments={"second": experiment({"a": 1, "b": 1}, **half)}),
        }
    )
    numbers = [len(assign(both, unit, START).active) for unit in UNITS]
    for number, share in enumerate((1 / 4, 2 / 4, 1 / 4)):
        assert within_binomial_bounds(numbers.count(number), share)


def test_experiments_of_a_layer_exclude_each_other():
    declared = one_layer(
        one=experiment({"a": 1, "b": 1}, buckets=(0, 0.3)),
        two=experiment({"a": 1, "b": 1}, buckets=(0.3, 0.8)),
    )
    active = [assign(declared, unit, START).active for unit in UNITS]
    assert max(map(len, active)) == 1
    names = [found[0].experiment if found else None for found in active]
    for name, share in (("one", 0.3), ("two", 0.5), (None, 0.2)):
        assert within_binomial_bounds(names.count(name), share)


def test_a_new_experiment_in_the_layer_moves_nobody():
    old = experiment({"a": 1, "b": 1}, buckets=(0, 0.5))
    before = variants(one_layer(test=old))
    after = variants(one_layer(test=old, new=experiment({"a": 1, "b": 1}, buckets=(0.5, 1))))
    assert before == after


@pytest.mark.parametrize(
    ("old", "new", "moved"),
    [
        ({"a": 1, "b": 1}, {"a": 1, "b": 9}, 0.9 - 0.5),
        ({"a": 1, "b": 1, "c": 2}, {"a": 1, "b": 1}, 2 / 4),
        ({"a": 1, "b": 1}, {"a": 1, "b": 1, "c": 2}, 2 / 4),
        ({"a": 1, "b": 1, "c": 2}, {"a": 1, "b": 1, "c": 6}, 6 / 8 - 2 / 4),
    ],
)
def test_one_changed_weight_moves_only_the_necessary_units(old, new, moved):
    before, after = (variants(one_layer(test=experiment(w))) for w in (old, new))
    moves = {(one, other) for one, other in zip(before, after, strict=True) if one != other}
    changed = "b" if new.get("b") == 9 else "c"
    assert all(changed in move for move in moves), "nobody moves between the others"
    count = sum(one != other for one, other in zip(before, after, strict=True))
    assert within_binomial_bounds(count, moved)


def test_another_salt_draws_the_split_anew():
    before, after = (
        variants(one_layer(test=experiment({"a": 1, "b": 1}, salt=salt))) for salt in (None, "new")
    )
    same = sum(one == other for one, other in zip(before, after, strict=True))
    assert within_binomial_bounds(same, 1 / 2)


def test_the_holdout_is_in_no_experiment():
    declared = one_layer(holdout=0.1, test=experiment({"a": 1, "b": 1}))
    found = [assign(declared, unit, START) for unit in UNITS]
    assert within_binomial_bounds(sum(f.holdout for f in found), 0.1)
    assert all(bool(f.active) != f.holdout for f in found)


def test_the_holdout_does_not_change_the_others():
    test = experiment({"a": 1, "b": 1})
    without, with_it = variants(one_layer(test=test)), variants(one_layer(holdout=0.2, test=test))
    assert {pair for pair in zip(without, with_it, strict=True) if pair[0] != pair[1]} == {
        ("a", None),
        ("b", None),
    }


def test_an_override_holds_at_any_time_and_is_marked():
    forced = dict.fromkeys(UNITS[:20], "b")
    other = experiment({"x": 1, "y": 1}, buckets=(0.1, 1))
    test = experiment({"a": 1, "b": 1}, buckets=(0, 0.1), overrides=forced)
    declared = one_layer(holdout=0.5, other=other, test=test)
    for unit in forced:
        for time in (START - timedelta(days=99), START, END):
            (assignment,) = assign(declared, unit, time).active
            assert (assignment.experiment, assignment.variant, assignment.forced) == (
                "test",
                "b",
                True,
            )


def test_what_the_variants_choose_comes_together():
    declared = Experiments.model_validate(
        {
            "layers": {
                "model": {"experiments": {"m": _both({"model": "challenger"})}},
                "list": {"experiments": {"d": _both({"ranking": {"diversity": 0.3}})}},
            }
        }
    )
    found = assign(declared, "somebody", START)
    assert found.model == "challenger"
    assert found.ranking.model_dump(exclude_none=True) == {"diversity": 0.3}
    nothing = assign(declared, "somebody", END)
    assert (nothing.model, nothing.ranking.diversity) == (None, None)


def _both(settings):
    return {"start": START, "end": END, "control": "a", "variants": {"a": settings, "b": settings}}


@given(st.text(), st.lists(st.floats(0.001, 1_000), min_size=2, max_size=5), st.floats(0.01, 100))
def test_only_relative_weights_matter(unit, weights, factor):
    named = {f"v{number}": weight for number, weight in enumerate(weights)}
    scaled = {name: weight * factor for name, weight in named.items()}
    assert choose_variant("t", experiment(named), unit) == choose_variant(
        "t", experiment(scaled), unit
    )
