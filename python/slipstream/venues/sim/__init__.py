"""Simulated venues: they speak the real wire protocols, judge orders and log everything.

The times of trades, orders, messages and log lines never run backwards, whatever a clock fault
does to ``/time``, the receive window and the nonces (``clock.py``).
"""
