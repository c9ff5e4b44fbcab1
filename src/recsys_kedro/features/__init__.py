"""Features of users and products, and their encoders, as of a time."""
