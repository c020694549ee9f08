"""A rule in words: what it watches, when it fires, what it does then, what holds it back, how far it can go.

Everything is read off the loaded rule, defaults included, so the words can't differ from what the engine does.
"""

from collections.abc import Iterable, Iterator
from textwrap import fill

from trainguard_rules.actions import REVERTIBLE
from trainguard_rules.durations import Duration, Limit
from trainguard_rules.explain import deeds, words
from trainguard_rules.expr import Node
from trainguard_rules.expr.nodes import Call, Logic, walk
from trainguard_rules.rulebook import Expectation, Rule, RuleBook, only_tells

WIDTH = 100

Section = tuple[str, Iterable[str]]


def explain(name: str, book: RuleBook) -> str | None:
    """The guard or expectation of this name, in words; None where there is none."""
    for rule in book.rules:
        if rule.name == name:
            return _laid_out(_title(rule, "guard"), _guard(rule, book.good_after))
    for expectation in book.expectations:
        if expectation.name == name:
            return _laid_out(_title(expectation, "expectation"), _expectation(expectation))
    return None


def _title(one: Rule | Expectation, kind: str) -> str:
    article = "an" if kind[0] in "aeiou" else "a"
    return f"{one.name}: {article} {kind} of {one.file}, group {one.group}"


def _laid_out(title: str, sections: Iterable[Section]) -> str:
    lines = [fill(title, WIDTH)]
    for heading, sentences in sections:
        paragraphs = [fill(s, WIDTH, initial_indent="  - ", subsequent_indent="    ") for s in sentences]
        if paragraphs:
            lines += ["", heading, *paragraphs]
    return "\n".join(lines)


def _guard(rule: Rule, good_after: int) -> Iterator[Section]:
    yield "What it watches", _watches(rule)
    yield "When it fires, and when it lets go", _life(rule)
    yield "What it does", _does(rule, good_after)
    if rule.actions:
        yield "What holds it back", _holds(rule)
        yield "What follows if that does not help", _follows(rule)
        yield "What it can do at most", _at_most(rule)


def _watches(rule: Rule) -> Iterator[str]:
    yield rule.source
    yield from _in_words(rule.when.node)
    yield from _windows(rule)


def _in_words(node: Node) -> Iterator[str]:
    """A sentence, or one for each part of a longer condition."""
    if not isinstance(node, Logic):
        yield f"In words: {words.condition(node)}."
        return
    yield "In words: all of these together are true." if node.operator == "and" else "In words: one of these is true."
    for i, operand in enumerate(node.operands, 1):
        yield f"({i}) {words.condition(operand)}"


def _windows(rule: Rule) -> Iterator[str]:
    longest = _longest_window([rule.when.node, *([rule.resolve.node] if rule.resolve else [])])
    if not longest:
        return
    yield (
        "Its windows hold the samples before the one that is judged. Until half a window is filled it does not judge. "
        "NaN and infinities never enter one."
    )
    if rule.rolling:
        yield "The windows are rolling: they go on learning during an incident, so a lasting change ends it by itself."
    else:
        yield (
            "The windows are frozen while the rule is pending or firing, so that a fault can't become the norm that "
            f"hides it. A level that outlasts its window (the longest has {longest} samples) is learned as the new norm"
            + (", once the trainer has heard of it." if rule.actions else ".")
        )


def _longest_window(clauses: Iterable[Node]) -> int:
    found = [n for node in clauses for n in walk(node) if isinstance(n, Call) and n.function.is_reference]
    return max((int(call.settings[-1]) for call in found), default=0)


def _life(rule: Rule) -> Iterator[str]:
    if rule.alert is not None:
        yield "Firing when Alertmanager's notice comes in, for the run that the alert's label 'run' names, or for all."
        yield "It lets go when Alertmanager says that the alert is over."
        yield "An alert is answered once. What holds the answer back only delays it, as long as the alert fires."
        return
    if rule.for_.amount:
        yield f"Pending as soon as the condition is true; firing once it has been true for {rule.for_} without a break."
    else:
        yield "Firing on the first sample on which the condition is true."
    when = (
        f"the condition is false and this is true: {rule.resolve.source}" if rule.resolve else "the condition is false"
    )
    yield f"It lets go as soon as {when}."
    if rule.keep_firing_for.amount:
        yield f"Not before {rule.keep_firing_for} after the condition was last true, though."
    yield "Where the condition can't be known (a NaN, a window not filled), the state stays as it is."


def _does(rule: Rule, good_after: int) -> Iterator[str]:
    if not rule.actions:
        yield "Nothing: it only reports."
        return
    if rule.mode == "observe":
        yield "Nothing, in mode observe: it reports that it would have done this:"
    elif rule.mode == "approve":
        yield f"It asks a person, for {rule.expires} steps, and a second at least; if approved:"
    for i, action in enumerate(rule.actions):
        yield f"{'Then it' if i else 'It'} {deeds.told(action)}."
    if trusted := deeds.checkpoints_trusted(rule, good_after):
        yield trusted


def _holds(rule: Rule) -> Iterator[str]:
    if rule.unless:
        yield f"While this is true it does not act, though it fires: {rule.unless.source}"
    if rule.cooldown.amount:
        yield f"Cooldown: {rule.cooldown} from one time it acts to the next."
    if rule.limit:
        yield f"Limit: {_limit(rule.limit)}."
    if rule.settle.amount:
        yield f"Settling: {rule.settle} after any action, its own or another rule's, has taken effect."
    yield "One intervention at a time: while one is under way it waits. Of rules that fire on one sample, one acts."
    if rule.restores:
        yield (
            "The bar on restores: each doubles the distance to the next, and a new good checkpoint, further on than "
            "any before, halves it again. So no run goes round in circles."
        )
    yield f"What the trainer has not begun within {rule.expires} steps, and a second, it does not do any more."


def _follows(rule: Rule) -> Iterator[str]:
    escalation = ", then ".join(deeds.told(action) for action in rule.escalate)
    if verify := rule.verify:
        yield f"It helped if this becomes true within {verify.within} of taking effect: {verify.clause.source}"
        if verify.otherwise == "revert":
            takes_back = any(
                a.kind in REVERTIBLE and getattr(a.model, "recover_over", None) is None for a in rule.actions
            )
            yield (
                "If not, the numbers it changed are changed back."
                if takes_back
                else "If not, nothing more is done: what it changed comes back by itself."
            )
        else:
            yield f"If not, it escalates, once in an incident: {escalation}."
    if rule.escalate and rule.limit:
        yield f"When it has reached its limit, it escalates, once in an incident: {escalation}."
    if rule.alert is not None and not rule.verify:
        yield "The next alert of this kind is answered again."
    elif not rule.verify and not (rule.escalate and rule.limit):
        once = only_tells(rule.actions) and not rule.cooldown.amount
        yield "Nothing else: it tells of an incident once." if once else _again(rule.cooldown)


def _again(cooldown: Duration) -> str:
    soonest = f"every {cooldown}" if cooldown.amount else "as soon as nothing holds it back"
    return f"Nothing else: while it goes on firing it acts again, {soonest}."


def _at_most(rule: Rule) -> Iterator[str]:
    if rule.limit is None:
        yield "It may act any number of times: it has no limit."
    else:
        limit = _limit(rule.limit)
        yield f"{limit[:1].upper()}{limit[1:]}" + (", and an escalation in each incident." if rule.escalate else ".")
    for sentence in dict.fromkeys(deeds.farthest((*rule.actions, *rule.escalate))):
        yield f"{sentence[:1].upper()}{sentence[1:]}."


def _limit(limit: Limit) -> str:
    interventions = f"{limit.times} intervention{'' if limit.times == 1 else 's'}"
    return f"at most {interventions} {f'in any {limit.per}' if limit.per else 'in all of a trainer process'}"


def _expectation(expectation: Expectation) -> Iterator[Section]:
    yield "What it expects", [expectation.when.source, *_in_words(expectation.when.node)]
    yield (
        "What comes of it",
        [
            f"Met on the first sample on which that is true, missed if that is not within {expectation.within} "
            "of the first sample, or before the run ends.",
            "It is reported once, in the journal and in the metrics. Nothing is ever done about it.",
        ],
    )
