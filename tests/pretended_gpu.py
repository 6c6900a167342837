"""A GPU that is pretended: tensors say that they lie on one, and their numbers are the CPU's.

What a GPU would refuse is refused here, too: an operation on tensors of two devices, numpy on a
tensor of the GPU, waiting where ``torch.cuda.set_sync_debug_mode`` forbids it or while a graph is
captured, and more memory than there is.  A graph keeps the operations of its capture and does
them again, on the same tensors.  Factors of products are rounded where torch's switches say TF32.
So all is tested that is not the hardware itself: what goes where, what waits, what is recorded,
what is held.  Speed, work space, and how CUDA rounds are not: those need a real one.
"""

import gc
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch._C import DisableTorchFunction
from torch._C._functorch import get_unwrapped, is_functorch_wrapped_tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

aten = torch.ops.aten
GPU, CPU = torch.device("cuda", 0), torch.device("cpu")
MEMORY = 80 * 2**30
CROSSING = {"aten::_to_copy", "aten::copy_", "aten::_foreach_copy_", "aten::lift_fresh"}
WAITING = {
    "aten::_local_scalar_dense",
    "aten::equal",
    "aten::is_nonzero",
    "aten::masked_select",
    "aten::nonzero",
    "aten::_unique2",
    "aten::unique_dim",
}
CONVOLUTIONS = {"aten::convolution", "aten::cudnn_convolution"}
PRODUCTS = CONVOLUTIONS | {"aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm"}
GETTERS = {
    Tensor.device.__get__: lambda place: place,  # type: ignore[attr-defined]
    Tensor.is_cuda.__get__: lambda place: place == GPU,  # type: ignore[attr-defined]
    Tensor.is_cpu.__get__: lambda place: place == CPU,  # type: ignore[attr-defined]
    Tensor.get_device: lambda place: 0 if place == GPU else -1,
}


class Waited(RuntimeError):
    """The CPU would have waited for the GPU where it must not."""


def _storage(tensor: Tensor) -> Any:
    while is_functorch_wrapped_tensor(tensor):
        tensor = get_unwrapped(tensor)
    return tensor.untyped_storage()


def _place(tensor: Tensor) -> torch.device:
    """Return where a tensor is said to lie."""
    if tensor.layout != torch.strided or tensor.is_meta:
        return CPU
    return GPU if getattr(_storage(tensor), "on_gpu", False) else CPU


def _device(wanted: Any) -> torch.device | None:
    """Return a device that is wanted; None where that is no device."""
    if isinstance(wanted, str):
        wanted = torch.device(wanted)
    if not isinstance(wanted, torch.device):
        return None
    return GPU if wanted.type == "cuda" else wanted


class _Graph:
    """Operations that were captured, and the tensors that they write to."""

    def __init__(self) -> None:
        self._steps: list[tuple[Any, Any, Any, Any]] = []

    def add(self, func: Any, args: Any, kwargs: Any, results: Any) -> None:
        self._steps.append((func, args, kwargs, results))

    def forget_results(self) -> None:
        """Leave no numbers behind: a real capture computes nothing."""
        for func, _, _, results in self._steps:
            for tensor in _fresh(func, results):
                tensor.fill_(torch.nan if tensor.is_floating_point() else 77)

    def replay(self) -> None:
        with DisableTorchFunction(), _disable_current_modes():  # all is known to be on the GPU
            for func, args, kwargs, results in self._steps:
                again = _done(func, args, kwargs)
                for mine, found in zip(_fresh(func, results), _fresh(func, again), strict=True):
                    mine.copy_(found)

    def pool(self) -> str:
        return "a pool"


def _fresh(func: Any, results: Any) -> list[Tensor]:
    """Return those of an operation's results that are no views of what it was given."""
    told = func._schema.returns
    nests = results if isinstance(results, tuple) else (results,)
    if not told or any(one.alias_info is not None for one in told):
        return []
    return [leaf for nest in nests for leaf in tree_leaves(nest) if isinstance(leaf, Tensor)]


class PretendedGpu:
    """What ``torch.cuda`` says and does.

    Attributes:
        waits: How often the CPU waited for the GPU.
        graphs: How many were captured.
        held: Bytes of the tensors that lie there.
        peak: Most of these, since it was last forgotten.
        most: Bytes that this process may hold.
    """

    def __init__(self) -> None:
        self.waits = self.graphs = 0
        self.held = self.peak = 0
        self.most = MEMORY
        self.mode = 0
        self.making: torch.device | None = None  # where a call of torch's makes tensors of its own
        self.capturing: _Graph | None = None
        self.stream = self._stream_of("default")

    def put(self, nest: Any, place: torch.device) -> Any:
        """Say that every tensor of a nest lies somewhere; return the nest.

        Raises:
            torch.OutOfMemoryError: If there is no room.
        """
        for leaf in tree_leaves(nest):
            if isinstance(leaf, Tensor) and leaf.layout == torch.strided and not leaf.is_meta:
                self._hold(_storage(leaf), place == GPU)
        return nest

    def _hold(self, storage: Any, on_gpu: bool) -> None:
        if on_gpu and not getattr(storage, "on_gpu", False):
            size = storage.nbytes()
            if self.held + size > self.most:
                raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size} bytes.")
            self.held += size
            self.peak = max(self.peak, self.held)
            weakref.finalize(storage, self._let_go, size)
        storage.on_gpu = on_gpu

    def _let_go(self, size: int) -> None:
        self.held -= size

    def _forget_peak(self, device: Any = None) -> None:
        self.peak = self.held

    def _lend(self, share: float) -> None:
        self.most = int(share * MEMORY)

    def wait(self, what: str) -> None:
        """Wait, where that is allowed."""
        if self.capturing is not None or self.mode == 2:
            raise Waited(f"called a synchronizing CUDA operation: {what}")
        self.waits += 1

    def _stream_of(self, name: str) -> Any:
        return SimpleNamespace(
            name=name,
            wait_stream=lambda other: None,
            wait_event=lambda event: None,
            synchronize=lambda: self.wait("a stream"),
            is_capturing=lambda: self.capturing is not None,
            record_event=lambda: SimpleNamespace(synchronize=self._arrived),
        )

    def _arrived(self) -> None:
        """Wait for an event: that is for what was before it alone, which torch allows always."""
        if self.capturing is not None:
            raise Waited("an event was waited for in a capture")

    @contextmanager
    def _on(self, stream: Any) -> Iterator[None]:
        before, self.stream = self.stream, stream
        yield
        self.stream = before

    @contextmanager
    def _capture(self, graph: _Graph, **how: Any) -> Iterator[None]:
        assert self.capturing is None
        assert how["capture_error_mode"] == "thread_local"
        with self._on(how["stream"]):
            self.capturing = graph
            try:
                yield
            finally:
                self.capturing = None
        graph.forget_results()
        self.graphs += 1

    def _set_mode(self, mode: Any) -> None:
        self.mode = {"default": 0, "warn": 1, "error": 2}.get(mode, mode)

    def functions(self) -> dict[str, Any]:
        """Return what stands for the functions of ``torch.cuda``, by name."""
        about = SimpleNamespace(
            name="a pretended GPU", total_memory=MEMORY, multi_processor_count=132, uuid="0-1-2"
        )
        no_context = lambda *_: ExitStack()  # noqa: E731
        return {
            "is_available": lambda: True,
            "is_initialized": lambda: True,
            "init": lambda: None,
            "_lazy_init": lambda: None,
            "device_count": lambda: 1,
            "current_device": lambda: 0,
            "set_device": lambda number: None,
            "device": no_context,
            "get_device_capability": lambda device=None: (9, 0),
            "get_device_name": lambda device=None: about.name,
            "get_device_properties": lambda device=None: about,
            "manual_seed_all": lambda seed: None,
            "get_rng_state": lambda device=None: torch.zeros(16, dtype=torch.uint8),
            "set_rng_state": lambda state, device=None: None,
            "empty_cache": gc.collect,
            "synchronize": lambda device=None: self.wait("synchronize"),
            "mem_get_info": lambda device=None: (MEMORY - self.held, MEMORY),
            "memory_allocated": lambda device=None: self.held,
            "memory_reserved": lambda device=None: self.held,
            "max_memory_allocated": lambda device=None: self.peak,
            "reset_peak_memory_stats": self._forget_peak,
            "set_per_process_memory_fraction": self._lend,
            "Stream": lambda device=None: self._stream_of("side"),
            "stream": self._on,
            "current_stream": lambda device=None: self.stream,
            "get_sync_debug_mode": lambda: self.mode,
            "set_sync_debug_mode": self._set_mode,
            "CUDAGraph": _Graph,
            "graph": self._capture,
        }


class _Operations(TorchDispatchMode):
    """Refuses operations on tensors of two devices; what comes out lies where what went in does."""

    def __init__(self, gpu: PretendedGpu) -> None:
        super().__init__()
        self._gpu = gpu

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        places = {_place(leaf) for leaf in given if leaf.ndim}
        if len(places) > 1 and name not in CROSSING:
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, "
                f"cuda:0 and cpu! ({name})"
            )
        on_gpu = any(_place(leaf) == GPU for leaf in given) or (
            not given and self._gpu.making == GPU
        )
        if on_gpu and (name in WAITING or _masks(name, args)):
            self._gpu.wait(name)
        if name in {"aten::copy_", "aten::_foreach_copy_"}:
            self._copied(args, kwargs)
        results = _done(func, args, kwargs)
        if name not in {"aten::copy_", "aten::_foreach_copy_"}:
            self._gpu.put(_fresh(func, results), GPU if on_gpu else CPU)
        if self._gpu.capturing is not None:
            self._gpu.capturing.add(func, args, kwargs, results)
        return results

    def _copied(self, args: Any, kwargs: Any) -> None:
        to, source, *rest = args
        blocking = not (rest[0] if rest else kwargs.get("non_blocking", False))
        listed = (to, source) if isinstance(to, list | tuple) else ([to], [source])
        for mine, other in zip(*listed, strict=True):
            here, there = _place(mine), _place(other)
            if {here, there} == {GPU, CPU} and other.ndim:
                pinned = getattr(_storage(mine if here == CPU else other), "pinned", False)
                if blocking or not pinned:
                    self._gpu.wait("a copy between devices")
                if self._gpu.capturing is not None:
                    raise Waited("a copy between devices in a capture")


def _done(func: Any, args: Any, kwargs: Any) -> Any:
    """Do an operation as a GPU does."""
    name = func._schema.name
    if name in PRODUCTS and _place(args[0]) == GPU and _rounds(name):
        args = tree_map(_rounded, args)
    return func(*args, **kwargs)


def _rounds(name: str) -> bool:
    """Tell whether torch's switches let a GPU round the factors of a product."""
    place = torch.backends.cudnn.conv if name in CONVOLUTIONS else torch.backends.cuda.matmul
    return place.fp32_precision == "tf32"


def _rounded(leaf: Any) -> Any:
    """Round float32 to 11 bits, as TF32 does."""
    if not isinstance(leaf, Tensor) or leaf.dtype != torch.float32:
        return leaf
    return ((leaf.view(torch.int32) + 2**12) & -(2**13)).view(torch.float32)


def _masks(name: str, args: Any) -> bool:
    if name not in {"aten::index", "aten::index_put_", "aten::_index_put_impl_"}:
        return False
    return any(isinstance(i, Tensor) and i.dtype in {torch.bool, torch.uint8} for i in args[1])


class _Calls(TorchFunctionMode):
    """Answers where a tensor lies, and keeps account of what is moved."""

    def __init__(self, gpu: PretendedGpu) -> None:
        super().__init__()
        self._gpu = gpu

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in GETTERS:
            return GETTERS[func](_place(args[0]))
        if func in {Tensor.to, Tensor.cuda, Tensor.cpu}:
            return self._moved(func, args[0], list(args[1:]), kwargs)
        if func in {Tensor.numpy, Tensor.__array__, Tensor.tolist} and _place(args[0]) == GPU:
            if func is not Tensor.tolist:
                raise TypeError("can't convert cuda:0 device type tensor to numpy.")
            self._gpu.wait("tolist")
        if func is Tensor.pin_memory:
            assert _place(args[0]) == CPU
            found = args[0].clone()
            _storage(found).pinned = True
            return found
        if func is Tensor.is_pinned:
            return getattr(_storage(args[0]), "pinned", False)
        return self._called(func, args, kwargs)

    def _called(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        wanted = _device(kwargs.get("device"))
        pinned = kwargs.pop("pin_memory", False)
        if wanted is not None:
            kwargs["device"] = CPU if wanted == GPU else wanted
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        before = self._gpu.making
        self._gpu.making = GPU if any(_place(leaf) == GPU for leaf in given) else before
        try:
            results = func(*args, **kwargs)
        finally:
            self._gpu.making = before
        if wanted is not None:
            self._gpu.put(results, wanted)
        if pinned:
            _storage(results).pinned = True
        return results

    def _moved(self, func: Any, tensor: Tensor, args: list[Any], kwargs: dict[str, Any]) -> Tensor:
        here, kwargs = _place(tensor), {"device": None, **kwargs}
        wanted = {Tensor.cuda: GPU, Tensor.cpu: CPU}.get(func) or _device(kwargs["device"])
        if args and func is Tensor.to and isinstance(args[0], Tensor):
            wanted, args[0] = _place(args[0]), args[0].dtype
        elif args and func is Tensor.to and _device(args[0]) is not None:
            wanted = _device(args.pop(0))
        del kwargs["device"]
        there = wanted or here
        waits = here != there and not kwargs.get("non_blocking", False)
        if waits:
            self._gpu.wait(f"a copy from {here} to {there}")
        if here != there and self._gpu.capturing is not None:
            raise Waited("a copy between devices in a capture")
        kwargs.pop("non_blocking", None)
        args = [arg for arg in args if not isinstance(arg, bool)]
        if not args and not kwargs:
            return tensor if here == there else self._gpu.put(tensor.clone(), there)
        if here != there:
            kwargs["copy"] = True
        found = Tensor.to(tensor, *args, **kwargs)
        return found if found is tensor else self._gpu.put(found, there)


def _used_on(tensor: Tensor, stream: Any) -> None:
    assert tensor.is_cuda


@contextmanager
def pretended_gpu() -> Iterator[PretendedGpu]:
    """Let torch have a GPU while this lasts."""
    gpu = PretendedGpu()
    with ExitStack() as stack:
        for name, stands in gpu.functions().items():
            stack.enter_context(mock.patch.object(torch.cuda, name, stands))
        stack.enter_context(mock.patch.object(Tensor, "record_stream", _used_on))
        here = gpu.functions()["current_stream"]
        stack.enter_context(mock.patch.object(torch.accelerator, "current_stream", here))
        stack.enter_context(_Operations(gpu))
        stack.enter_context(_Calls(gpu))
        yield gpu
