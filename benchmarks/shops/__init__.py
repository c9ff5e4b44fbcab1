"""What is measured on: shops with fitted models."""
