"""Peak memory and FLOPs of a model's own code without its device: fake tensors, of which every live byte is counted.

A fake tensor has a shape, a dtype and a device ("cuda" needs no GPU) but no numbers. The code that runs on a card runs
unchanged; each operator is seen here, with the storages it makes. On a card a storage takes a multiple of 512 bytes, as
PyTorch's allocator hands them out; on a CPU it takes its bytes. Not counted: what kernels use inside, what the
allocator cannot reuse (fragmentation), and the context of the driver.

On a card attention is taken as the flash kernel: an output and one number a row, and no scores in memory. What depends
on values is answered for all of them: a number read from a tensor is 1.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch._guards import detect_fake_mode
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from niah.types import UserError

CARD_BLOCK = 512  # bytes of which the allocator of a card hands out multiples
aten = torch.ops.aten


@dataclass(frozen=True)
class Repeat:
    """A method whose memory and FLOPs depend on its arguments' shapes alone: traced once for each `key`.

    What it returns must be tensors in storages of their own, and what else it allocates that stays, `effect` has to
    allocate again; a call whose key is None may do what it likes and is traced. `owners` share what was found: layers
    of equal sizes, for example.
    """

    owners: Sequence[Any]
    name: str
    key: Callable[..., Hashable]
    effect: Callable[..., object] = lambda *args, **named: None  # what else a call changes, made up for when not traced


def shapes(*tensors: Tensor) -> Hashable:
    """Return the shapes and dtypes of tensors: the `key` of a method that takes nothing else."""
    return tuple((tuple(tensor.shape), tensor.stride(), tensor.dtype) for tensor in tensors)


def is_traced() -> bool:
    """Return True where tensors are fake, so that no value can be read from one."""
    return detect_fake_mode() is not None


@contextmanager
def trace(device: str) -> Iterator[Trace]:
    """Count memory and FLOPs on `device` of everything inside.

    Raises UserError naming the operator where a result's shape depends on values that a fake tensor does not have.
    """
    counted = Trace(torch.device(device).type)
    with FakeTensorMode(allow_non_fake_inputs=True), counted, FlashAttention(counted), _transformers_unaware():
        try:
            yield counted
        except (DynamicOutputShapeException, DataDependentOutputException) as error:
            raise UserError(
                f"this model does not trace: the result of {error.func} depends on values, and traced tensors have none"
            ) from error


class Trace(TorchDispatchMode):
    """Counts live bytes, their peak, and floating-point operations (two for a multiplication with its addition)."""

    def __init__(self, device_type: str) -> None:
        super().__init__()
        self.device_type = device_type
        self.live = self.peak = self.flops = 0
        self._block = 1 if device_type == "cpu" else CARD_BLOCK
        self._storages: dict[int, tuple[weakref.ref, int]] = {}  # by id of the storage, with its bytes
        self._composite: dict[Any, bool] = {}  # operators made of others

    def reset(self) -> None:
        """Start the peak and the FLOPs anew; what is alive stays counted."""
        self.peak, self.flops = self.live, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        """Run an operator on fake tensors and count what it makes."""
        kwargs = kwargs or {}
        if func is aten._local_scalar_dense.default:
            return 1.0 if args[0].is_floating_point() else 1
        packet = func._overloadpacket
        formula = flop_registry.get(packet)
        if formula is None and self._is_composite(func):
            with self:
                made = func.decompose(*args, **kwargs)
            if made is not NotImplemented:
                return made
        made = func(*args, **kwargs)
        if formula is not None:
            self.flops += int(formula(*args, **kwargs, out_val=made))
        if not func.is_view:
            self.count(made)
        return made

    def count(self, made: Any) -> None:
        """Count the storages of what an operator returned, those that are new."""
        if isinstance(made, Tensor):
            if made.device.type == self.device_type:
                self._count_storage(made.untyped_storage())
        elif isinstance(made, list | tuple):
            for part in made:
                self.count(part)

    def repeat(self, repeats: Sequence[Repeat]) -> None:
        """Replace methods by ones that are traced once for each key and then only counted again."""
        for repeat in repeats:
            known: dict[Hashable, _Costs] = {}
            for owner in repeat.owners:
                setattr(owner, repeat.name, self._counted_again(getattr(owner, repeat.name), repeat, known))

    def _counted_again(self, method: Callable, repeat: Repeat, known: dict[Hashable, _Costs]) -> Callable:
        def run(*args: Any, **kwargs: Any) -> Any:
            name = repeat.key(*args, **kwargs)
            if name is None:
                return method(*args, **kwargs)
            if name in known:
                made = known[name].again(self)
                repeat.effect(*args, **kwargs)  # last: what a call adds was measured from what was alive before it
                return made
            live, peak, flops = self.live, self.peak, self.flops
            self.peak = live
            made = method(*args, **kwargs)
            known[name] = _Costs(self.peak - live, self.flops - flops, _Made.of(made))
            self.peak = max(self.peak, peak)
            return made

        return run

    def _count_storage(self, storage: torch.UntypedStorage) -> None:
        place = id(storage)
        if place in self._storages:
            return
        size = -(-storage.nbytes() // self._block) * self._block

        def forget(_: Any) -> None:
            del self._storages[place]
            self.live -= size

        self._storages[place] = weakref.ref(storage, forget), size
        self.live += size
        self.peak = max(self.peak, self.live)

    def _is_composite(self, func: Any) -> bool:
        if func not in self._composite:
            has = torch._C._dispatch_has_kernel_for_dispatch_key
            self._composite[func] = func.namespace == "aten" and has(func.name(), "CompositeImplicitAutograd")
        return self._composite[func]


class FlashAttention(TorchFunctionMode):
    """Stands in for the flash kernel of a card, which PyTorch would not choose for tensors that are on none.

    It holds the output, (batch, rows, heads, size) in memory, and while it runs one number for each row and head.
    Causal attention counts the pairs a query sees, and no others.
    """

    def __init__(self, counted: Trace) -> None:
        super().__init__()
        self.counted = counted

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Replace attention on a card; leave everything else alone."""
        kwargs = kwargs or {}
        if func is not scaled_dot_product_attention or not args[0].is_cuda:
            return func(*args, **kwargs)
        mask, causal = kwargs.get("attn_mask"), kwargs.get("is_causal", False)
        if mask is not None and not hasattr(mask, "variant"):
            return func(*args, **kwargs)  # a mask in memory: no flash kernel takes one
        return self._attend(*args[:3], causal=causal or mask is not None)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, causal: bool) -> Tensor:
        batch, heads, rows, size = query.shape
        keys = key.shape[2]
        pairs = rows * (keys - rows) + rows * (rows + 1) // 2 if causal else rows * keys
        self.counted.flops += 2 * batch * heads * pairs * (size + value.shape[3])
        sums = query.new_empty(batch, heads, rows, dtype=torch.float32)
        mixed = query.new_empty(batch, rows, heads, value.shape[3]).transpose(1, 2)
        del sums
        return mixed


@dataclass(frozen=True)
class _Made:
    """What a traced method returned, to be made again: one tensor, or several in shared storages."""

    single: bool
    tensors: tuple[tuple[int, torch.Size, tuple[int, ...], int], ...]  # storage, shape, strides, offset of each
    storages: tuple[tuple[int, torch.dtype, torch.device], ...]  # numbers in each

    @classmethod
    def of(cls, made: Any) -> _Made:
        """Describe tensors."""
        parts = (made,) if isinstance(made, Tensor) else tuple(made)
        places: dict[int, int] = {}
        storages, tensors = [], []
        for part in parts:
            storage = part.untyped_storage()
            if id(storage) not in places:
                places[id(storage)] = len(storages)
                storages.append((storage.nbytes() // part.element_size(), part.dtype, part.device))
            tensors.append((places[id(storage)], part.shape, part.stride(), part.storage_offset()))
        return cls(isinstance(made, Tensor), tuple(tensors), tuple(storages))

    def again(self) -> Any:
        """Return such tensors."""
        if self.single and prod(self.tensors[0][1]) == self.storages[0][0]:
            _, shape, strides, _ = self.tensors[0]
            _, dtype, device = self.storages[0]
            return torch.empty_strided(shape, strides, dtype=dtype, device=device)
        fresh = [torch.empty(count, dtype=dtype, device=device) for count, dtype, device in self.storages]
        parts = tuple(fresh[place].as_strided(shape, strides, offset) for place, shape, strides, offset in self.tensors)
        return parts[0] if self.single else parts


@dataclass(frozen=True)
class _Costs:
    """What one call of a method took above what was alive, and what it made."""

    extra: int
    flops: int
    made: _Made

    def again(self, counted: Trace) -> Any:
        """Count the call once more."""
        counted.peak = max(counted.peak, counted.live + self.extra)
        counted.flops += self.flops
        return self.made.again()


@contextmanager
def _transformers_unaware() -> Iterator[None]:
    """Keep `transformers` from making a mask for fake tensors that it does not make for real ones."""
    from transformers.utils import import_utils

    own = import_utils.is_fake_tensor  # read by its masks, to be safe in exported graphs
    import_utils.is_fake_tensor = lambda tensor: False
    try:
        yield
    finally:
        import_utils.is_fake_tensor = own
