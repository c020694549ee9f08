"""What follows from one record: lines for the journal, messages for the trainer."""

from typing import NamedTuple

from trainguard_wire.control import Control
from trainguard_wire.journal import Derived


class Output(NamedTuple):
    """In the order in which they followed."""

    journal: list[Derived]
    control: list[Control]
