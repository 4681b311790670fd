"""Conditioners."""
