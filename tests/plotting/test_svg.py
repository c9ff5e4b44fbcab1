import matplotlib as mpl
from matplotlib.figure import Figure

from recsys_kedro.plotting.svg import svg_text


def drawn():
    with mpl.rc_context({"svg.hashsalt": "a"}):
        figure = Figure()
        figure.subplots().plot([1, 2], [3, 4])
        return svg_text(figure)


def test_the_same_figure_gives_the_same_text():
    assert drawn() == drawn()
    assert drawn().startswith("<svg")
    assert "<dc:date>" not in drawn()
