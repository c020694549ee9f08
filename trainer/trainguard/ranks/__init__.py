"""Many ranks that train one model, as one trainer: with replicated parameters, as under ``DistributedDataParallel``.

Rank 0 has the run directory and speaks. All ranks measure; what they measured is reduced before it is judged, so that a
NaN on any rank is seen. What is asked for is carried out by all ranks at the same step, or by none.

All of it goes over a group of the guard's own, of CPU tensors (gloo), in *rounds*: each rank hands in a row of one
fixed size, and all ranks have all rows (`rounds`). One round is under way between any two steps: launched at the end of
a step, with what was measured in it, and collected at the end of the next, when it has long arrived, because training
itself has brought the ranks together since. So nobody waits, and readings come out one step late.

::

    end of step N      collect the round of step N - 1; talk, if a rank asked for it;
                       publish the readings of step N - 1; carry out what came; read control (rank 0);
                       launch the round of step N, which asks for a talk if there is something to say

Talks are rare: control to be carried out, names of signals that are new, what failed on a rank, votes on an action.
They are rounds like any other, made on the spot (`Ranks.exchange`). What is larger than a round, such as a checkpoint,
follows one that announces it.

Nothing may hang. All rounds have one size and a head that says what they are, and at which step of which generation.
Where the heads disagree (a rank took other steps, failed in our code, or has ended), where a rank is gone or silent for
longer than `rounds.PATIENCE`, the ranks *part*: it is said once, no round is made any more, rank 0 reports its own
values, and actions are refused. Training itself goes on as it would without a guard.
"""
