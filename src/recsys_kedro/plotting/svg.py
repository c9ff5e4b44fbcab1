"""Charts as text, for pages that need no other file."""

import io

from matplotlib.figure import Figure


def svg_text(figure: Figure) -> str:
    """The figure as SVG without XML declaration and date: the same figure gives the same text.

    Draw it under an ``svg.hashsalt`` of its own: ids in the text are made from it.
    """
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
