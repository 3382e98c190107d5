"""Faults that the local FLORA can be told to produce."""
