"""Hyperliquid: recorded fills and instrument tables."""
