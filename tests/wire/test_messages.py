"""Messages survive the wire, values that are no numbers included, and lines that are no records are refused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainguard_wire import (
    Ack,
    Action,
    CheckpointSaved,
    CodecError,
    Decision,
    Goodbye,
    Heartbeat,
    Hello,
    Intervention,
    Opened,
    Outcome,
    Promoted,
    Promotion,
    Sample,
    Transition,
    decode_control,
    decode_journal,
    decode_telemetry,
    encode,
    sample_of,
)

HEAD = {"step": 12, "generation": 1, "time": 1.5}
ACTION = Action(id="A.1.12.0", kind="scale_lr", params={"factor": 0.5, "min": 1e-5})

TELEMETRY = [
    (
        Hello(**HEAD, run="a", pid=7, signals=("loss",), actions=("stop",)),
        '{"type":"hello","step":12,"generation":1,"time":1.5,"run":"a","pid":7,"signals":["loss"],"actions":["stop"]}',
    ),
    (
        sample_of({"loss": 0.25, "grad_norm": math.nan, "lr": math.inf}, epoch=3, **HEAD),
        '{"type":"sample","step":12,"generation":1,"time":1.5,"epoch":3,"values":{"loss":0.25},'
        '"nonfinite":{"grad_norm":"NaN","lr":"Infinity"}}',
    ),
    (
        Ack(**HEAD, action="A.1.12.0", kind="scale_lr", status="applied", before=0.1, after=0.05),
        '{"type":"ack","step":12,"generation":1,"time":1.5,"action":"A.1.12.0","kind":"scale_lr","status":"applied",'
        '"before":0.1,"after":0.05}',
    ),
    (CheckpointSaved(**HEAD), '{"type":"checkpoint","step":12,"generation":1,"time":1.5}'),
    (Heartbeat(**HEAD, lost=2), '{"type":"heartbeat","step":12,"generation":1,"time":1.5,"lost":2}'),
    (
        Goodbye(**HEAD, outcome="finished"),
        '{"type":"goodbye","step":12,"generation":1,"time":1.5,"outcome":"finished"}',
    ),
]
CONTROL = [
    Intervention(id="A.1.12", rule="A", step=12, generation=1, expires_step=112, actions=(ACTION,), reason="because"),
    Promotion(checkpoint=10, step=12, generation=1),
]
JOURNAL = [
    Opened(time=1.0, pid=1, host="h", version="0", rules="r", rules_sha256="s", from_record=0),
    Transition(**HEAD, rule="A", before="inactive", after="firing", value=1.0),
    Decision(**HEAD, rule="A", verdict="act", reason="r", intervention="A.1.12", actions=(ACTION,)),
    Outcome(**HEAD, rule="A", intervention="A.1.12", action="A.1.12.0", kind="scale_lr", status="lost"),
    Promoted(**HEAD, checkpoint=10),
]


@pytest.mark.parametrize(("record", "line"), TELEMETRY, ids=lambda x: type(x).__name__)
def test_telemetry_lines_are_as_documented(record, line):
    """The bytes of each telemetry record are fixed: other tools read them too."""
    assert encode(record) == line.encode() + b"\n"
    assert decode_telemetry(line.encode()) == record


@pytest.mark.parametrize("record", CONTROL, ids=lambda x: type(x).__name__)
def test_control_round_trip(record):
    """What the monitor says is what the trainer hears."""
    assert decode_control(encode(record)) == record


@pytest.mark.parametrize("record", JOURNAL, ids=lambda x: type(x).__name__)
def test_journal_round_trip(record):
    """What was journalled is what is read."""
    assert decode_journal(encode(record)) == record


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.floats(), max_size=20))
def test_no_value_is_lost_on_the_way(values):
    """Any float comes back as it was: NaN as NaN, infinities with their sign, finite ones bit for bit."""
    sample = sample_of(values, layers=values, **HEAD)
    read = decode_telemetry(encode(sample))
    layers = {name: float(norm) for name, norm in read.layers.items()}
    for back in (read.all_values(), layers):
        assert back.keys() == values.keys()
        for name, value in values.items():
            assert back[name] == value or (math.isnan(back[name]) and math.isnan(value))
    assert list(layers) == list(values)
    assert all(math.isfinite(value) for value in sample.values.values())


def test_a_sum_that_overflows_is_not_taken_for_a_non_finite_value():
    """The quick test for finite values is a sum; an overflow of it must not condemn them."""
    sample = sample_of({"a": 1.7e308, "b": 1.7e308}, **HEAD)
    assert sample.values == {"a": 1.7e308, "b": 1.7e308}
    assert not sample.nonfinite


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b'{"type":"sample","step":1', "truncated"),
        (b"\xff\xfe", "malformed"),
        (b'{"type":"whatever"}', "Invalid value 'whatever'"),
        (b'{"type":"sample","step":-1,"generation":0,"time":0,"values":{}}', ">= 0"),
        (b'{"type":"sample","step":9007199254740993,"generation":0,"time":0,"values":{}}', "<= 9007199254740992"),
        (b'{"type":"sample","step":1%s,"generation":0,"time":0,"values":{}}' % (b"0" * 400), "<= 9007199254740992"),
        (b'{"type":"sample","step":1,"generation":0,"time":0,"values":{"loss":null}}', "Expected `float`"),
        (b'{"type":"sample","step":1,"generation":0,"time":0,"values":{},"nonfinite":{"a":"nan"}}', "Invalid enum"),
        (b'{"type":"ack","step":1,"generation":0,"time":0,"action":"a","kind":"b","status":"done"}', "Invalid enum"),
        (b'{"type":"sample","more":' + b"[" * 100_000, "recursion"),
    ],
)
def test_lines_that_are_no_records_are_refused(line, complaint):
    """The error says what was wrong with which line."""
    with pytest.raises(CodecError, match=complaint):
        decode_telemetry(line)


def test_an_older_reader_follows_a_newer_writer():
    """Fields that this version does not know are passed over."""
    line = b'{"type":"checkpoint","step":1,"generation":0,"time":0,"colour":"blue"}'
    assert decode_telemetry(line) == CheckpointSaved(step=1, generation=0, time=0.0)


def test_samples_of_finite_values_share_no_dictionary_with_the_caller():
    """The trainer reuses its dictionary; a sample must not change with it."""
    values = {"loss": 1.0}
    sample = sample_of(values, **HEAD)
    values["loss"] = 2.0
    assert isinstance(sample, Sample)
    assert sample.values == {"loss": 1.0}
