"""What the rules did in a scenario so far, as the checks ask for it."""

from collections import defaultdict, deque

from trainguard_rules.output import Output
from trainguard_wire.control import Action, Intervention
from trainguard_wire.journal import Decision, Outcome, Reached, Transition

LAST = 3


class Ledger:
    """``note`` every output; `turn` at each new step. Decisions and interventions are those of this step."""

    def __init__(self) -> None:
        self.transitions: defaultdict[str, deque[Transition]] = defaultdict(lambda: deque(maxlen=LAST))
        self.decisions: defaultdict[str, list[Decision]] = defaultdict(list)
        self.issued: defaultdict[str, list[Intervention]] = defaultdict(list)
        self.interventions = 0
        self.reached: dict[str, Reached] = {}
        self._last: dict[str, tuple[Action, ...]] = {}
        self._outcomes: dict[str, Outcome] = {}

    def turn(self) -> None:
        """Another step begins."""
        self.decisions.clear()
        self.issued.clear()

    def note(self, output: Output) -> None:
        for record in output.journal:
            match record:
                case Transition():
                    self.transitions[record.rule].append(record)
                case Decision():
                    self.decisions[record.rule].append(record)
                    if record.intervention is not None:
                        self._last[record.rule] = record.actions
                case Outcome():
                    self._outcomes[record.action] = record
                case Reached():
                    self.reached[record.rule] = record
        for message in output.control:
            if isinstance(message, Intervention):
                self.issued[message.rule].append(message)
                self.interventions += 1

    def outcomes(self, rule: str) -> list[tuple[str, str, str]]:
        """Kind, status and reason of each action the rule asked for last; ``waiting`` where there is no answer yet."""
        found: list[tuple[str, str, str]] = []
        for action in self._last.get(rule, ()):
            outcome = self._outcomes.get(action.id)
            found.append((action.kind, outcome.status if outcome else "waiting", outcome.reason if outcome else ""))
        return found
