"""The registry of plugins."""
