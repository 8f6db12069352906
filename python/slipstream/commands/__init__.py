"""The commands of ``slipstream``: each module exports ``register(app)`` and is imported lazily."""
