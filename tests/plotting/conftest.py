"""Charts are drawn in the project's style, on no screen, and closed after each test."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import polars as pl
import pytest

from recsys_kedro.plotting import use_style


@pytest.fixture(autouse=True)
def _style():
    with mpl.rc_context(), pl.Config():
        mpl.use("agg")
        use_style()
        yield
        plt.close("all")
