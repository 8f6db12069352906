"""The Aster face of the simulated venue (V3 wire protocol)."""
