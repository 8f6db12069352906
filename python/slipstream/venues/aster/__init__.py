"""Aster perpetual futures, API V3. Protocol: the venue's futures V3 document of August 2026.

Wire forms stay inside this package: out go domain values and outcomes.
"""
