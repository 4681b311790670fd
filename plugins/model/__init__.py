"""Score-based models: networks and exact scores."""
