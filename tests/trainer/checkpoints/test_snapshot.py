"""Checkpoints in memory: what a copy is, and which are kept."""

from collections import Counter, OrderedDict, defaultdict, namedtuple
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from trainguard.checkpoints import memory
from trainguard.checkpoints.memory import Held, MemoryRing, memory_limit
from trainguard.checkpoints.plain import copied, plain
from trainguard.checkpoints.snapshot import Snapshot, num_bytes


def equal(left: Any, right: Any) -> bool:
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return (
            type(left) is type(right)
            and left.keys() == right.keys()
            and all(equal(left[key], right[key]) for key in left)
        )
    if isinstance(left, list | tuple):
        return type(left) is type(right) and len(left) == len(right) and all(map(equal, left, right))
    return bool(left == right) and type(left) is type(right)


DTYPES = st.sampled_from([torch.float32, torch.bfloat16, torch.float64, torch.int64, torch.bool, torch.complex64])
TENSORS = st.builds(
    lambda shape, dtype, turned: (torch.rand(shape) * 9).to(dtype).transpose(0, -1 if turned else 0),
    st.lists(st.integers(0, 4), min_size=1, max_size=3),
    DTYPES,
    st.booleans(),
)
LEAVES = TENSORS | st.integers() | st.floats(allow_nan=False) | st.text() | st.none() | st.booleans() | st.binary()
KINDS = st.sampled_from([dict, OrderedDict, Counter])


def MAPPINGS(inner: Any) -> Any:
    return st.builds(lambda kind, items: kind(items), KINDS, st.dictionaries(st.text() | st.integers(), inner))


TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner) | MAPPINGS(inner) | st.tuples(inner, inner),
    max_leaves=12,
)


@given(tree=st.dictionaries(st.text(), TREES), other=st.dictionaries(st.text(), TREES))
def test_a_snapshot_is_the_tree_and_shares_nothing_with_it(tree: Any, other: Any) -> None:
    """Whatever is in it, whether its memory is fresh or another's; what changes later does not reach it."""
    kept = copied(tree)
    for spare in (None, Snapshot(other), Snapshot(tree)):
        snapshot = Snapshot(tree, spare)
        snapshot.wait()
        assert equal(snapshot.tree, kept)
    for tensor in tensors_of(tree):
        tensor.zero_()
    assert equal(snapshot.tree, kept)


def tensors_of(tree: Any) -> list[torch.Tensor]:
    if isinstance(tree, torch.Tensor):
        return [tree]
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list | tuple) else ()
    return [tensor for item in inner for tensor in tensors_of(item)]


def test_memory_is_used_again_where_it_fits() -> None:
    """A snapshot of the same layout lies where the spare one lay; one of another layout does not."""
    tree = {"model": {"a": torch.ones(1000), "b": torch.ones(3, dtype=torch.int64)}}
    first = Snapshot(tree)
    place = first.tree["model"]["a"].data_ptr()
    tree["model"]["a"].fill_(2)
    second = Snapshot(tree, first)
    assert second.tree["model"]["a"].data_ptr() == place
    assert second.tree["model"]["a"].unique().tolist() == [2]
    assert Snapshot({"model": {"a": torch.ones(1001)}}, second).tree["model"]["a"].data_ptr() != place


def test_what_is_tied_stays_tied_and_is_stored_once() -> None:
    """Tied weights, and the same tensor in two parts."""
    model = nn.ModuleDict({"in": nn.Linear(50, 50, bias=False), "out": nn.Linear(50, 50, bias=False)})
    model["out"].weight = model["in"].weight
    tree = {"model": plain(model.state_dict(), "model"), "state": {"same": model["in"].weight}}
    assert num_bytes(tree) == 50 * 50 * 4
    snapshot = Snapshot(tree)
    places = {tensor.data_ptr() for tensor in tensors_of(snapshot.tree)}
    assert len(places) == 1
    assert all(type(tensor) is torch.Tensor and not tensor.requires_grad for tensor in tensors_of(snapshot.tree))


def test_one_part_can_be_saved_without_the_others(tmp_path: Path) -> None:
    """The model's tensors share no memory with the moments, which a file of the model alone would hold as well."""
    tree = {"model": {"w": torch.ones(10)}, "optimizers": [{"m": torch.ones(100_000)}]}
    torch.save(Snapshot(tree).tree, tmp_path / "all.pt")
    torch.save(torch.load(tmp_path / "all.pt", weights_only=True)["model"], tmp_path / "model.pt")
    assert (tmp_path / "model.pt").stat().st_size < 10_000


def test_tensors_that_cannot_lie_in_a_buffer() -> None:
    """Sparse ones, for one, are copied by themselves."""
    sparse = torch.eye(3).to_sparse()
    snapshot = Snapshot({"state": {"s": sparse}})
    sparse.mul_(2)
    assert torch.equal(snapshot.tree["state"]["s"].to_dense(), torch.eye(3))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_from_cuda_the_host_does_not_wait() -> None:
    """Pinned memory, a copy in the stream between two steps, and no synchronization by us."""
    values = torch.ones(1 << 22, device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        first = Snapshot({"model": {"w": values, "host": torch.ones(3)}})
        values.fill_(2)
        second = Snapshot({"model": {"w": values, "host": torch.ones(3)}})
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for snapshot, value in ((first, 1), (second, 2)):
        snapshot.wait()
        assert snapshot.tree["model"]["w"].is_pinned()
        assert snapshot.tree["model"]["w"].unique().tolist() == [value]


class Colour(str, Enum):  # noqa: UP042  # of a StrEnum, str is the value
    RED = "red"


class Level(IntEnum):
    HIGH = 3


Pair = namedtuple("Pair", "left right")


@pytest.mark.parametrize(
    ("value", "underneath"),
    [
        (np.float64(0.5), 0.5),
        (np.float32(0.5), 0.5),
        (np.float16(0.5), 0.5),
        (np.int32(3), 3),
        (np.uint64(2**63), 2**63),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (Pair(1, np.int8(2)), (1, 2)),
        ({Colour.RED: 1}, {"red": 1}),
        (defaultdict(int, a=1), {"a": 1}),
        (OrderedDict(x=b"y"), OrderedDict(x=b"y")),
        (Counter(a=2), Counter(a=2)),
        ([True, (1, None)], [True, (1, None)]),
    ],
    ids=repr,
)
def test_plain_makes_types_plain(value: Any, underneath: Any, tmp_path: Path) -> None:
    """Subclasses of numbers and containers become what they are underneath, and that is what the disk gives back."""
    found = plain({"state": value}, "x")
    assert equal(found, {"state": underneath})
    torch.save(Snapshot(found).tree, tmp_path / "x.pt")
    assert equal(torch.load(tmp_path / "x.pt", weights_only=True), {"state": underneath})


@pytest.mark.parametrize("value", [object(), {1}, np.zeros(2), np.longdouble(1), np.datetime64("2020"), 1j], ids=repr)
def test_what_has_no_plain_form_is_named(value: Any) -> None:
    what = rf"x\['a'\]\[1\] holds a \w+\.{type(value).__name__}, which cannot be stored: wanted dicts, lists"
    with pytest.raises(TypeError, match=what):
        plain({"a": [1, value]}, "x")


def test_the_versions_of_a_state_dict_survive(tmp_path: Path) -> None:
    """Modules look at them to tell how an older state is to be read."""
    state = plain(nn.BatchNorm1d(3).state_dict(), "model")
    torch.save(Snapshot({"model": state}).tree, tmp_path / "x.pt")
    read = torch.load(tmp_path / "x.pt", weights_only=True)["model"]
    assert read._metadata == {"": {"version": 2}}


# -- the ring --------------------------------------------------------------------------------------------------


class Model:
    """What the ring should do, said in another way."""

    def __init__(self, keep: int) -> None:
        self.keep, self.held = keep, {}

    def add(self, step: int) -> None:
        goods = [s for s, good in self.held.items() if good]
        order = [step, *([max(goods)] if goods else []), *sorted(self.held, reverse=True)]
        kept = list(dict.fromkeys(order))[: self.keep]
        self.held = {s: self.held.get(s, False) for s in kept}


@given(
    keep=st.integers(0, 4),
    moves=st.lists(st.tuples(st.sampled_from(["save", "promote"]), st.integers(0, 20)), max_size=40),
)
def test_the_ring_keeps_the_newest_and_the_newest_good_one(keep: int, moves: list[tuple[str, int]]) -> None:
    """Never more than ``keep``; the same as a model that is written down in another way."""
    ring, model, step = MemoryRing(keep, limit=1000), Model(keep), 0
    tree = {"x": torch.ones(1)}
    for move, ago in moves:
        if move == "save":
            step += 1
            ring.make_room(10)
            ring.add(Held(step, 0, 0.0, Snapshot(tree)), 10)
            model.add(step)
        else:
            known = step - ago in model.held
            assert ring.promote(step=step - ago, generation=0) == known
            if known:
                model.held[step - ago] = True
        assert [held.step for held in ring.good()] == sorted((s for s, g in model.held.items() if g), reverse=True)
        assert sorted(held.step for held in ring._held) == sorted(model.held)


def test_the_ring_is_bounded_in_bytes_too() -> None:
    """With room for the one that is being written: of four that fit three are kept, of one and a half none."""
    tree = {"x": torch.ones(1)}
    for size, kept in ((10, 3), (20, 1), (21, 0)):
        ring = MemoryRing(9, limit=41)
        for step in range(6):
            ring.make_room(size)
            ring.add(Held(step, 0, 0.0, Snapshot(tree)), size)
            ring.promote(step=step, generation=0)
        assert len(ring.good()) == kept
        assert ring.fits(size) == (size < 21)


def test_promotion_is_not_for_a_later_generation() -> None:
    """What an older generation has promised is not kept by a newer one."""
    ring = MemoryRing(2, limit=1000)
    ring.add(Held(5, 1, 0.0, Snapshot({})), 10)
    assert not ring.promote(step=5, generation=0)
    assert ring.promote(step=5, generation=1)
    assert ring.good(before_step=5) == []


def test_a_containers_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of it, where it is below what the machine has; 'max' and rubbish are no limit."""
    whole = memory_limit()
    limits = tmp_path / "memory.max", tmp_path / "limit_in_bytes"
    monkeypatch.setattr(memory, "_CGROUP_LIMITS", tuple(map(str, limits)))
    limits[0].write_text("max\n")
    assert memory_limit() >= whole
    limits[1].write_text("4000\n")
    assert memory_limit() == 1000
