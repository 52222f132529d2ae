"""Feature vectors as points in space: their scale, whether they differ at all, and clusters of them."""
