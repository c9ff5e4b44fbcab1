"""Load on a scoring server, and what it costs the server."""
