"""Simulated venues: they speak the real wire protocols, judge orders and log everything."""
