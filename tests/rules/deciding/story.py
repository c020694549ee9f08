"""A run with everything in it that rules can meet, and rules that take over in the middle of it."""

import random

from tests.support.telemetry import ALL_ACTIONS, goodbye, hello, sample, saved
from trainguard_rules import CatchUp, Engine, RuleBook, load_text
from trainguard_wire import (
    Ack,
    Action,
    AlertNotice,
    Approval,
    Decision,
    Delivered,
    Derived,
    Input,
    Intervention,
    Order,
    Telemetry,
)
from trainguard_wire.chain import Chain

RULES = """
settle: 3 steps
signals: [grad, rare]
checkpoints: {good_after: 5 steps}
groups:
  - name: g
    rules:
      - guard: Spike
        expr: loss > 2 * mean(loss, 5)
        for: 1 step
        keep_firing_for: 2 steps
        actions: [{restore_checkpoint: {}}, {scale_lr: {factor: 0.5}}]
        cooldown: 8 steps
        limit: 3 per 60 steps
        expires: 6 steps
        verify: {expr: "loss < at_onset(mean(loss, 5)) * 1.5", within: 6 steps}
        escalate: [{scale_lr: {factor: 0.1}}]
        labels: {severity: critical}
      - guard: AsksBack
        expr: grad > 4
        mode: approve
        actions: [{scale_lr: {factor: 0.5}}]
        cooldown: 6 steps
        expires: 12 steps
        verify: {expr: "grad < 0.1", within: 2 steps, otherwise: revert}
      - guard: Reverts
        expr: grad > 3
        actions: [{scale_lr: {factor: 0.5}}]
        cooldown: 5 steps
        expires: 8 steps
        unless: loss > 30
        verify: {expr: "grad < 1", within: 4 steps, otherwise: revert}
      - guard: Asks
        expr: grad > 2
        mode: approve
        actions: [{diagnose: {}}]
        escalate: [{stop: {}}]
        limit: 2 per 100 steps
        expires: 5 steps
      - guard: Watches
        expr: loss > mean(loss, 8)
        mode: observe
        actions: [{save_checkpoint: {}}]
        cooldown: 4 steps
      - guard: Sets
        expr: grad < 0.5
        actions: [{set_lr: {lr: "median(grad, 5) / 100"}}]
        cooldown: 15 steps
      - guard: Hot
        alert: {alertname: Hot}
        actions: [{scale_lr: {factor: 0.9}}]
        cooldown: 12 steps
        expires: 7 steps
      - guard: Cannot
        expr: loss > 30
        actions: [{skip_steps: {count: 2}}]
        cooldown: 15 steps
        unless: grad > 2.2
        verify: {expr: "loss < at_onset(loss) / 20", within: 3 steps}
        escalate: [{set_lr: {lr: "median(rare, 3)"}}]
      - guard: TellsOnce
        expr: loss > 2
        actions: [{notify: {to: oncall}}]
      - guard: Tells
        expr: grad > 4
        actions: [{notify: {to: oncall}}]
        cooldown: 3 steps
"""

Came = Telemetry | Input


def story(seed: int, steps: int = 160) -> tuple[list[Came], list[list[Derived]]]:
    """A run with faults, a trainer that obeys late or never, and people and alerts that come in; what the rules make
    of each thing that came."""
    chance = random.Random(seed)
    engine, came, made = Engine(load_text(RULES)), [], []
    generation, fault, due, requests, fingerprints = 0, 0, [], [], []

    def feed(record: Came) -> None:
        came.append(record)
        output = engine.feed(record)
        made.append(output.journal)
        due.extend(message for message in output.control if isinstance(message, Intervention))
        requests.extend(r.intervention for r in output.journal if isinstance(r, Decision) and r.intervention)

    feed(hello(actions=ALL_ACTIONS))
    for step in range(1, steps):
        fault = max(0, fault - 1) or (chance.randrange(1, 12) if chance.random() < 0.1 else 0)
        spiking = fault > 0 and chance.random() < 0.9
        values = {"loss": chance.uniform(1, 40 if spiking else 3), "grad": chance.uniform(0, 6 if spiking else 2.5)}
        if step > 110 and step % 3 == 0:
            values["rare"] = 0.1
        feed(sample(step, values, generation))
        if step % 9 == 0:
            feed(saved(step, generation))
        place = {"time": float(step), "after_record": engine.records}
        if requests and chance.random() < 0.4:
            feed(Approval(intervention=requests.pop(), approved=chance.random() < 0.7, by="ada", **place))
        if chance.random() < 0.05:
            kind, params = chance.choice(
                [
                    ("scale_lr", {"factor": 0.7}),
                    ("save_checkpoint", {}),
                    ("set_knob", {"name": "unknown", "value": 1.0}),
                ]
            )
            action = Action(id="", kind=kind, params=params)
            feed(Order(id=f"o{step % 40}", actions=(action,), by="bob", **place))
        if chance.random() < 0.1:
            key = chance.choice([*fingerprints, str(step)])
            status = "resolved" if key in fingerprints and chance.random() < 0.7 else "firing"
            fingerprints.append(key)
            labels = {"alertname": chance.choice(["Hot", "Cold"])}
            feed(AlertNotice(fingerprint=key, starts_at=key, status=status, labels=labels, **place))
        while due and chance.random() < 0.5:
            intervention = due.pop(0)
            for action in intervention.actions:
                status = chance.choice(["applied", "applied", "applied", "failed", "expired"])
                restored = action.kind == "restore_checkpoint" and status == "applied"
                generation += restored
                feed(
                    Ack(
                        step=step,
                        generation=generation,
                        time=float(step),
                        action=action.id,
                        kind=action.kind,
                        status=status,
                        before=1.0,
                        after=0.5,
                        checkpoint=step // 9 * 9 if restored else None,
                    )
                )
        for notification in engine.notifications.unsent[: step % 3]:
            feed(Delivered(action=notification.id, status="applied", time=float(step), after_record=engine.records))
        if chance.random() < 0.01:
            generation += 1
            feed(hello(step, generation))
    feed(goodbye(steps, generation))
    return came, made


def take_over(rules: RuleBook, came: list[Came], made: list[list[Derived]], at: int) -> tuple[Engine, CatchUp]:
    """An engine of these rules that catches up with the first ``at`` things that came, all of it under other rules."""
    records: list[Input | Derived] = []
    for record, derived in zip(came[:at], made[:at], strict=True):
        records += [record] if isinstance(record, Input) else []
        records += derived
    engine = Engine(rules)
    catchup = CatchUp(engine, "new", Chain("old", 0, records, [], []))
    for record in came[:at]:
        if not isinstance(record, Input):
            catchup.feed(record)
    catchup.finish()
    assert catchup.resume() == (engine.records, [], 0, False)
    return engine, catchup
