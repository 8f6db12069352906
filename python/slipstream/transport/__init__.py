"""Sockets, clocks and budgets. Knows how to move bytes, and no word of trading."""
