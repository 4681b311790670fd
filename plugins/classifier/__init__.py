"""Classifiers of noisy items."""
