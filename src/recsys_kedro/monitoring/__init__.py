"""What served recommendations do, window by window: figures, drift, skew, and what is alarming."""
