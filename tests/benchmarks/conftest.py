import pytest


@pytest.fixture(autouse=True)
def _threads(own_threads: None) -> None:
    """A cell sets torch's."""
