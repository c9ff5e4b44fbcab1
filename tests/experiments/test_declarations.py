import re

import pytest

from recsys_kedro.experiments.declarations import read_experiments

DECLARED = """
holdout: {share: 0.05}
layers:
  model:
    experiments:
      hybrid_test:
        buckets: [0.0, 0.5]
        start: 2025-03-03T00:00:00Z
        end: 2025-03-31T00:00:00Z
        control: popularity
        variants:
          popularity: {model: baseline}
          hybrid: {model: champion, weight: 2}
        overrides: {tester: hybrid}
      later:
        buckets: [0.5, 1.0]
        start: 2025-03-03T00:00:00Z
        end: 2025-03-31T00:00:00Z
        control: a
        variants: {a: {}, b: {model: challenger}}
  list:
    experiments:
      diversity:
        start: 2025-03-03T00:00:00Z
        end: 2025-03-31T00:00:00Z
        control: plain
        variants:
          plain: {ranking: {diversity: 0.0}}
          mixed: {ranking: {diversity: 0.3}}
"""


@pytest.fixture
def read(tmp_path):
    def written(text):
        path = tmp_path / "experiments.yml"
        path.write_text(text)
        return read_experiments(path)

    return written


def test_what_is_declared(read):
    experiments = read(DECLARED)
    assert list(experiments.named) == ["hybrid_test", "later", "diversity"]
    hybrid = experiments.named["hybrid_test"].variants["hybrid"]
    assert (hybrid.weight, hybrid.model, hybrid.ranking.diversity) == (2, "champion", None)
    assert experiments.named["diversity"].variants["mixed"].ranking.diversity == 0.3
    assert experiments.holdout.share == 0.05


def test_an_empty_file_has_no_experiments(read):
    assert read("").named == {}


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("weight: 2", "weight: 0", "hybrid_test.variants.hybrid.weight: Input should be greater"),
        ("weight: 2", "wieght: 2", "hybrid_test.variants.hybrid.wieght: Extra inputs"),
        ("diversity: 0.3", "diversity: 3", "mixed.ranking.diversity: Input should be less"),
        ("diversity: 0.3", "diverse: 0.3", "mixed.ranking.diverse: Extra inputs"),
        ("control: a", "control: z", "later: Value error, control: there is no variant 'z', only"),
        ("tester: hybrid", "tester: b", "overrides.tester: there is no variant 'b'"),
        ("[0.0, 0.5]", "[0.5, 0.2]", r"hybrid_test: Value error, buckets: \[0.5, 0.2\]"),
        ("[0.0, 0.5]", "[0.0, 0.6]", "later.buckets: .* overlap with those of 'hybrid_test'"),
        ("03-31T00:00:00Z", "03-01T00:00:00Z", "hybrid_test: Value error, end: .* not after start"),
        ("03-31T00:00:00Z", "03-31T00:00:00", "hybrid_test.end: .* timezone"),
        ("variants: {a: {}, b: {model: challenger}}", "variants: {a: {}}", "later.variants: .* 2"),
        ("{diversity: 0.3}", "{}, model: x", r"layers.list: sets \['model'\], as does 'model'"),
        ("      diversity:\n", "      later:\n", r"layers.list.experiments: \['later'\] are in"),
        ("      later:\n", "      hybrid_test:\n", "'hybrid_test' stands twice in the block"),
        ("share: 0.05", "share: 1", "holdout.share: Input should be less than 1"),
    ],
)
def test_a_fault_is_named_with_experiment_and_key(read, old, new, fault):
    assert old in DECLARED
    with pytest.raises(ValueError, match=re.compile(rf"experiments.yml: .*{fault}", re.DOTALL)):
        read(DECLARED.replace(old, new, 1))


def test_a_unit_is_forced_into_one_experiment_of_a_layer(read):
    text = DECLARED.replace("control: a\n", "control: a\n        overrides: {tester: b}\n")
    with pytest.raises(ValueError, match=r"later.overrides: 'hybrid_test' has \['tester'\]"):
        read(text)


def test_experiments_one_after_the_other_may_share_buckets(read):
    text = DECLARED.replace(
        "[0.5, 1.0]\n        start: 2025-03-03", "[0.0, 1.0]\n        start: 2025-04-01"
    )
    text = text.replace(
        "2025-03-31T00:00:00Z\n        control: a", "2025-04-30T00:00:00Z\n        control: a"
    )
    assert read(text).named["later"].buckets == (0, 1)
