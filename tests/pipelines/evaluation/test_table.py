import io

from rich.console import Console

from recsys_kedro.pipelines.evaluation.table import evaluation_table


def rendered(evaluation) -> str:
    text = io.StringIO()
    Console(width=140, file=text).print(evaluation_table(evaluation))
    return text.getvalue()


def test_the_best_model_stands_first_with_its_interval(shop):
    lines = rendered(shop.evaluate()).splitlines()
    rows = [line for line in lines if line.startswith("│")]
    assert [row.split()[1] for row in rows] == ["hybrid", "ease", "popularity"]
    assert "1.000 (1.000 to 1.000)" in rows[0]


def test_the_caption_is_the_verdict(shop):
    assert "hybrid wins on all products" in rendered(shop.evaluate())


def test_a_difference_whose_interval_contains_zero_is_marked(shop):
    evaluation = shop.evaluate()
    evaluation["tasks"]["all"]["differences"]["models"]["hybrid"] = {
        "value": 0.01,
        "low": -0.02,
        "high": 0.04,
    }
    assert "~+0.010" in rendered(evaluation)
