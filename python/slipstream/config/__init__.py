"""Configuration and keystore: read exactly, refused by file, key, value and expectation."""
