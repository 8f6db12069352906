"""Slipstream: mirror a leader's fills onto many followers, exactly once and within bounds."""

from slipstream._core import __version__

__all__ = ["__version__"]
