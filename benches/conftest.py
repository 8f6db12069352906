"""What all benches share: they run on a release build or not at all."""

import pytest

from slipstream._core import build_info


def pytest_collection_modifyitems(config: pytest.Config) -> None:
    """Refuse to measure a debug build: such a figure would be wrong by a factor.

    Raises:
        UsageError: benches are switched on and the core was built without optimisation.
    """
    is_measuring = not config.getoption("benchmark_disable")
    if is_measuring and build_info()["profile"] != "release":
        raise pytest.UsageError("benches need a release build of the core: run make build first")
