"""Likelihoods."""
