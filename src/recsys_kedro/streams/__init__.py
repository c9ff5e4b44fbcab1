"""Streams of the Kafka protocol: events that are landed or fed, impressions that are sent."""
