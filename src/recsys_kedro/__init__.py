"""A recommender for shops, as a Kedro project."""

__version__ = "0.1.0"
