"""Segments: whatever the writer's writes are torn into, a reader gets every whole line once, in order."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainguard_wire import CheckpointSaved, RecordReader, SegmentReader, SegmentWriter, decode_telemetry, encode
from trainguard_wire import segments as module


def record(step: int) -> CheckpointSaved:
    return CheckpointSaved(step=step, generation=0, time=0.0)


def read_all(reader):
    found = []
    while chunk := reader.read():
        found += chunk
    return found


def test_what_is_appended_is_read_in_order_across_segments(tmp_path):
    """A small segment size makes many segments; the reader crosses them without losing or doubling a record."""
    writer = SegmentWriter(tmp_path, segment_bytes=200)
    reader = RecordReader(tmp_path, decode_telemetry)
    seen = []
    for step in range(50):
        writer.append(record(step))
        if step % 7 == 0:
            seen += read_all(reader)
    seen += read_all(reader)
    assert [r.step for r in seen] == list(range(50))
    assert len(list(tmp_path.iterdir())) > 5
    assert reader.corrupt == 0


@pytest.mark.parametrize("rests", [False, True])
@given(st.lists(st.integers(0, 10**6), max_size=12), st.lists(st.integers(1, 40), min_size=1, max_size=60))
def test_a_reader_close_behind_the_writer_keeps_the_half_line(tmp_path_factory, rests, steps, cuts):
    """Any splitting of the bytes into writes gives the same records, and so it does to rest in between."""
    folder = tmp_path_factory.mktemp("torn")
    data = b"".join(encode(record(step)) for step in steps)
    reader = RecordReader(folder, decode_telemetry)
    seen = []
    with (folder / "000001.jsonl").open("ab", buffering=0) as file:
        for cut in cuts:
            file.write(data[:cut])
            data = data[cut:]
            seen += read_all(reader)
            if rests:
                reader.rest()
        file.write(data)
    seen += read_all(reader)
    assert [r.step for r in seen] == steps
    assert reader.corrupt == 0


def test_a_reader_that_rests_goes_on_where_it_was(tmp_path, monkeypatch):
    """In the same segment and in the next; and it needs no file handle to see that nothing came."""
    first = SegmentWriter(tmp_path)
    first.append(record(1))
    reader = RecordReader(tmp_path, decode_telemetry)
    assert [r.step for r in read_all(reader)] == [1]
    reader.rest()
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", None)
        assert reader.read() == []
        reader.rest()
        assert reader.read() == []
    first.append(record(2))
    assert [r.step for r in read_all(reader)] == [2]
    reader.rest()
    second = SegmentWriter(tmp_path)
    second.append(record(3))
    assert [r.step for r in read_all(reader)] == [3]
    (tmp_path / "000002.jsonl").unlink()
    reader.rest()
    assert reader.read() == []
    assert reader.corrupt == 0


def test_a_torn_tail_is_left_alone_and_counted(tmp_path):
    """A writer that died in mid-line: the next one opens a new segment, readers count one line and go on."""
    first = SegmentWriter(tmp_path)
    first.append(record(1))
    first.close()
    with (tmp_path / "000001.jsonl").open("ab") as file:
        file.write(b'{"type":"checkpo')
    reader = RecordReader(tmp_path, decode_telemetry)
    assert [r.step for r in read_all(reader)] == [1]
    assert reader.corrupt == 0, "the line may still be completed"
    SegmentWriter(tmp_path).append(record(2))
    assert [r.step for r in read_all(reader)] == [2]
    assert reader.corrupt == 1


def test_corrupt_lines_are_skipped_and_counted(tmp_path):
    """Garbage between records costs the garbage only."""
    (tmp_path / "000001.jsonl").write_bytes(encode(record(1)) + b"garbage\n\xff\n{}\n\n" + encode(record(2)))
    reader = RecordReader(tmp_path, decode_telemetry)
    assert [r.step for r in read_all(reader)] == [1, 2]
    assert reader.corrupt == 3


def test_a_line_without_end_does_not_fill_the_memory(tmp_path, monkeypatch):
    """Past a bound a line is thrown away up to its newline."""
    monkeypatch.setattr(module, "LONGEST_LINE", 1000)
    monkeypatch.setattr(module, "READ_BYTES", 256)
    (tmp_path / "000001.jsonl").write_bytes(b"x" * 5000 + b"\n" + encode(record(2)))
    reader = RecordReader(tmp_path, decode_telemetry)
    assert [r.step for r in read_all(reader)] == [2]
    assert reader.corrupt == 1


def test_bytes_that_arrive_while_the_next_segment_begins_are_not_lost(tmp_path):
    """The reader reads a segment dry once more after it has seen the next one."""
    (tmp_path / "000001.jsonl").write_bytes(encode(record(1)))
    reader = RecordReader(tmp_path, decode_telemetry)
    assert [r.step for r in read_all(reader)] == [1]
    with (tmp_path / "000001.jsonl").open("ab") as file:
        file.write(encode(record(2)))
    (tmp_path / "000002.jsonl").write_bytes(encode(record(3)))
    assert [r.step for r in read_all(reader)] == [2, 3]


def test_a_full_disk_costs_only_what_did_not_fit(tmp_path, monkeypatch):
    """A short write raises; the next record begins on a line of its own."""
    writer = SegmentWriter(tmp_path)
    writer.append(record(1))
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:10]))
    with pytest.raises(OSError, match="only 10 of"):
        writer.append(record(2))
    monkeypatch.setattr(os, "write", real)
    writer.append(record(3))
    reader = RecordReader(tmp_path, decode_telemetry)
    assert [r.step for r in read_all(reader)] == [1, 3]
    assert reader.corrupt == 1


def test_seek_to_end_passes_over_everything_there_is(tmp_path):
    """A trainer that starts does not obey what was meant for the one before."""
    writer = SegmentWriter(tmp_path, segment_bytes=100)
    for step in range(5):
        writer.append(record(step))
    reader = RecordReader(tmp_path, decode_telemetry)
    reader.seek_to_end()
    assert read_all(reader) == []
    for step in (5, 6, 7):
        writer.append(record(step))
    assert [r.step for r in read_all(reader)] == [5, 6, 7]


def test_a_directory_that_is_not_there_reads_as_empty(tmp_path):
    """Readers wait for writers, not the other way round."""
    reader = SegmentReader(tmp_path / "later")
    assert reader.read_lines() == []
    (tmp_path / "later").mkdir()
    SegmentWriter(tmp_path / "later").append(record(1))
    assert len(reader.read_lines()) == 1


@pytest.mark.parametrize("name", ["\N{SUPERSCRIPT TWO}.jsonl", "a.jsonl", ".jsonl", "1.jsonl.tmp"])
def test_a_strange_file_is_no_segment(tmp_path, name):
    """What else lies in the directory is nobody's business."""
    (tmp_path / name).write_bytes(b"")
    SegmentWriter(tmp_path).append(record(1))
    assert module.segment_numbers(tmp_path) == [1]


def test_a_deleted_segment_is_noticed(tmp_path):
    """Writes to an unlinked file succeed and reach nobody; the writer can tell."""
    writer = SegmentWriter(tmp_path)
    assert not writer.is_unlinked()
    writer.append(record(1))
    assert not writer.is_unlinked()
    (tmp_path / "000001.jsonl").unlink()
    assert writer.is_unlinked()
