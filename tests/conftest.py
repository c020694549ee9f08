import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("no deadline", deadline=None)  # a busy machine makes no example wrong
settings.load_profile("no deadline")

# A shell that starts something in the background has it ignore SIGINT, and all that it starts: not here.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what tests have started is ended


@pytest.fixture
def rules(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A rule file: the ``RULES`` of the module of the test."""
    path = tmp_path / "rules.yaml"
    path.write_text(request.module.RULES)
    return path


@pytest.fixture
def own_threads() -> Iterator[None]:
    """Torch's number of threads, to be changed at will."""
    import torch  # which most tests have no use for

    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
