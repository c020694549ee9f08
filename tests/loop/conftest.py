import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread(own_threads: None) -> None:
    """The models here are tiny, and monitors run beside them."""
    torch.set_num_threads(1)
