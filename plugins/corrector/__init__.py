"""Correctors."""
