"""Models of ordered sequences without times: linear, neural, and a ranker that joins them."""
