"""Venues: the ports an adapter fills, and one package per venue. None imports another."""
