"""Attributes: numbers that are read from pictures."""
