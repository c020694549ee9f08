"""The journal: what the monitor saw, decided and learned. One JSON object a line, told apart by its ``type``.

`Opened` tells of the monitor itself. An `Input` records what came from outside, a person's word or an alert, at its
place in the telemetry. All else is `Derived`: a pure function of telemetry, inputs and rules. The same of those gives
the same lines, byte for byte, in the daemon, in a replay and after a crash.
"""

from typing import Literal

from msgspec import Struct

from trainguard_wire.control import Action, Count
from trainguard_wire.telemetry import AckStatus

AlertState = Literal["inactive", "pending", "firing"]
Mode = Literal["act", "approve", "observe"]
Verdict = Literal[
    "act",
    "observe",
    "await_approval",
    "hold_cooldown",
    "hold_limit",
    "hold_inhibited",
    "hold_settling",
    "hold_in_flight",
    "hold_outranked",
    "hold_unsupported",
]
OutcomeStatus = AckStatus | Literal["lost", "withdrawn"]


class Opened(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="opened"):
    """A monitor took the run up. What it derives is journalled from telemetry record ``from_record`` on.

    No rule was freer than ``mode``, whatever the files named in ``rules`` say.
    """

    time: float
    pid: int
    host: str
    version: str
    rules: str
    rules_sha256: str
    from_record: Count
    mode: Mode = "act"


class _Derived(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """What every derived record carries: the step, generation and time of the telemetry it follows from."""

    step: Count
    generation: Count
    time: float


class Transition(_Derived, frozen=True, kw_only=True, tag="transition"):
    """A rule changed its state. ``value`` is the left side of the rule's first comparison, where it is finite."""

    rule: str
    before: AlertState
    after: AlertState
    value: float | None = None
    reason: str = ""


class Decision(_Derived, frozen=True, kw_only=True, tag="decision"):
    """What policy answered a firing rule, also when the answer was not to act, and why.

    Recorded when the answer changes, not on every sample that a rule goes on firing.
    """

    rule: str
    verdict: Verdict
    reason: str
    value: float | None = None
    onset: Count = 0
    summary: str = ""
    intervention: str | None = None
    actions: tuple[Action, ...] = ()


class Outcome(_Derived, frozen=True, kw_only=True, tag="outcome"):
    """What became of one action of ours.

    ``lost``: no acknowledgement came before the action expired. ``withdrawn``: a person was asked, and the trainer was
    told nothing.
    """

    rule: str
    intervention: str
    action: str
    kind: str
    status: OutcomeStatus
    before: float | None = None
    after: float | None = None
    checkpoint: Count | None = None
    reason: str = ""


class Promoted(_Derived, frozen=True, kw_only=True, tag="promoted"):
    """A candidate checkpoint was found good."""

    checkpoint: Count


class Verification(_Derived, frozen=True, kw_only=True, tag="verification"):
    """Whether an intervention helped, as its rule's ``verify`` has it."""

    rule: str
    intervention: str
    helped: bool
    value: float | None = None
    reason: str = ""


class Reached(_Derived, frozen=True, kw_only=True, tag="reached"):
    """An expectation was ``met`` in time, or was not by its deadline."""

    rule: str
    met: bool
    value: float | None = None
    reason: str = ""


class _Input(Struct, frozen=True, kw_only=True, tag_field="type"):
    """What every input carries: when it came, and the telemetry record it is taken in after."""

    time: float = 0.0
    after_record: Count = 0


class Approval(_Input, frozen=True, kw_only=True, tag="approval"):
    """A person's answer to a request."""

    intervention: str
    approved: bool
    by: str


class Order(_Input, frozen=True, kw_only=True, tag="order"):
    """Actions that a person asks for. Taken in once, however often it comes under its ``id``."""

    id: str
    actions: tuple[Action, ...]
    by: str
    reason: str = ""


class AlertNotice(_Input, frozen=True, kw_only=True, tag="alert"):
    """An alert of Alertmanager's fires, or is over: the one of its ``fingerprint`` that began at ``starts_at``."""

    fingerprint: str
    starts_at: str
    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] = {}


class Delivered(_Input, frozen=True, kw_only=True, tag="delivered"):
    """What became of a notification: its webhook took it (``applied``), or not, and why."""

    action: str
    status: AckStatus
    reason: str = ""


Input = Approval | Order | AlertNotice | Delivered
Derived = Transition | Decision | Outcome | Promoted | Verification | Reached
Journal = Opened | Input | Derived
