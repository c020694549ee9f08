"""Unit tests of rules, written in YAML in the notation of promtool: a text in, failures out.

::

    rule_files: [stability]             # shipped packs by name; files, relative to this one
    tests:
      - name: a lasting spike is restored
        interval: 1s                    # between two steps; 1s if not given
        steps_per_epoch: 50             # if not given, the samples have no epoch
        input_series:                   # the values at step 1, 2, 3 and so on: see `series`
          loss: "1x99 30x10 1x20"
        checkpoints: [0, 50]            # saved after these steps; [0] if not given
        acks: 1                         # how many steps later the trainer hears of an intervention; or never
        approvals: never                # how many steps later a person says yes; never if not given
        alerts:                         # what Alertmanager hands over after a step; status: resolved ends it
          - {step: 30, labels: {alertname: GpuOverheating}}
        actions_offered: [scale_lr]     # all of them if not given
        knobs:                          # that the training script has registered; none if not given
          dropout: {value: 0.1, min: 0, max: 0.5}
        expect:
          - step: 105                   # or end: after the trainer has said goodbye
            states: {LossFarAboveBaseline: firing}         # inactive, pending, firing
            verdicts: {LossFarAboveBaseline: act}          # decided at this step; none: nothing was
            actions:                                       # issued at this step; none: nothing was
              LossFarAboveBaseline: [restore_checkpoint, {scale_lr: {factor: 0.5}}]
            outcomes: {LossFarAboveBaseline: waiting}      # of its last intervention: one word, or one an action
            interventions: 1                               # so far, of all rules
            reached: {SparsityBy20: met}                   # expectations: met, missed, waiting

The series are fed to the engine by a simulated trainer (see `trainer`), which obeys as the real one does.
"""

from trainguard_rules.ruletest.load import load_suite
from trainguard_rules.ruletest.run import Failure, run_scenario
from trainguard_rules.ruletest.scenario import Check, Scenario, Suite
from trainguard_rules.ruletest.series import SeriesError, expand

__all__ = [
    "Check",
    "Failure",
    "Scenario",
    "SeriesError",
    "Suite",
    "expand",
    "load_suite",
    "run_scenario",
]
