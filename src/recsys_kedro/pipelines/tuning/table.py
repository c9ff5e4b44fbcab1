"""The verdict as a table for the terminal, and as metrics for MLflow."""

from rich.table import Table

from recsys_kedro.tuning.results import TuningResult, count_endings


def tuning_table(result: TuningResult) -> Table:
    """Each tuned option in the default settings and in the best."""
    best, default = result.trial(result.best), result.trial(result.default)
    endings = ", ".join(
        f"{count} {ending}" for ending, count in count_endings(result.trials).items()
    )
    table = Table(title=f"{result.study}: {endings}", caption=result.verdict)
    for name in (result.model, "default", "best"):
        table.add_column(name)
    table.add_row("mean NDCG@10, validation", f"{default.score:.4f}", f"{best.score:.4f}")
    for name, value in best.values.items():
        table.add_row(name, value_in_words(default.values[name]), value_in_words(value))
    return table


def value_in_words(value: object) -> str:
    """A setting's value, short."""
    return f"{value:.4g}" if isinstance(value, float) else "none" if value is None else str(value)


def headline_figures(result: TuningResult) -> dict[str, float]:
    """``tuning/<figure>``: both scores, the gain with its interval, trials by how they ended."""
    figures: dict[str, float | None] = {
        "tuning/best": result.trial(result.best).score,
        "tuning/default": result.trial(result.default).score,
        "tuning/gain": result.gain.value,
        "tuning/gain_low": result.gain.low,
        "tuning/gain_high": result.gain.high,
    }
    endings = count_endings(result.trials)
    figures |= {f"tuning/trials_{ending}": float(count) for ending, count in endings.items()}
    return {name: value for name, value in figures.items() if value is not None}
