"""Frozen values that the whole engine speaks in. No I/O, no clock, no venue."""
