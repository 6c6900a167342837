"""What others' code may change around itself: settings of torch, numpy and the process."""

import operator
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data._utils import signal_handling

SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM", "SIGCHLD", "SIGPIPE")
    if hasattr(signal, name)
)


@dataclass(frozen=True)
class Setting:
    """One thing that everybody in a process shares.

    Attributes:
        read: Returns it, as something that can be compared.
        write: Puts it back.
        same: Tells whether what is found now needs no putting back.
        imports: Whether importing a module may add to it for good.
    """

    read: Callable[[], Any]
    write: Callable[[Any], None]
    same: Callable[[Any, Any], bool] = operator.eq
    imports: bool = False


def _folder() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:  # somebody removed it
        return None


def _go_back(folder: str | None) -> None:
    if folder is not None:
        os.chdir(folder)


_BYTES = getattr(os.environ, "_data", None)  # 50 times as fast to compare as os.environ itself


def _environment() -> dict[Any, Any]:
    return dict(os.environb if _BYTES is None else _BYTES)


def _write_environment(wanted: Mapping[Any, Any]) -> None:
    for name in os.environb.keys() - wanted.keys():
        del os.environb[name]
    for name, value in wanted.items():
        if os.environb.get(name) != value:
            os.environb[name] = value


def _handlers() -> tuple[Any, ...]:
    return tuple(map(signal.getsignal, SIGNALS))


def _write_handlers(handlers: tuple[Any, ...]) -> None:
    if threading.current_thread() is not threading.main_thread():
        return  # where Python sets none
    for number, now, handler in zip(SIGNALS, _handlers(), handlers, strict=True):
        if handler is not None and now is not handler and not _is_torchs(now):
            signal.signal(number, handler)


def _same_handlers(now: tuple[Any, ...], found: tuple[Any, ...]) -> bool:
    return all(map(lambda one, other: one == other or _is_torchs(one), now, found))


def _is_torchs(handler: Any) -> bool:
    """Tell whether a handler watches over workers of loaders: torch sets it once for good."""
    return getattr(handler, "__module__", "") == signal_handling.__name__


def _write_filters(wanted: list[Any]) -> None:
    warnings.resetwarnings()  # also tells Python that what it remembers of them is old
    warnings.filters[:] = wanted  # type: ignore[index]


def _deterministic() -> tuple[bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def _write_deterministic(wanted: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(wanted[0], warn_only=wanted[1])


def _default_device() -> Any:
    """Return the device that new tensors are on; None where nobody said."""
    found = torch.get_default_device()
    return None if found == torch.device("cpu") else found


def _write_streams(streams: tuple[Any, Any]) -> None:
    sys.stdout, sys.stderr = streams


def _write_errors(wanted: tuple[Any, Any]) -> None:
    np.seterr(**wanted[0])
    np.seterrcall(wanted[1])


def _cudnn() -> tuple[bool, bool, bool]:
    place = torch.backends.cudnn
    return place.enabled, place.benchmark, place.deterministic


def _write_cudnn(wanted: tuple[bool, bool, bool]) -> None:
    place = torch.backends.cudnn
    place.enabled, place.benchmark, place.deterministic = wanted


def _precision() -> str:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # torch answers no more once its older and newer switches were both used
        return ""


def _write_precision(wanted: str) -> None:
    if wanted:
        torch.set_float32_matmul_precision(wanted)


def _autocast() -> tuple[bool, bool]:
    return torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")


def _write_autocast(wanted: tuple[bool, bool]) -> None:
    torch.set_autocast_enabled("cpu", wanted[0])
    torch.set_autocast_enabled("cuda", wanted[1])


def _mkldnn() -> bool:
    return bool(torch.backends.mkldnn.enabled)


def _write_mkldnn(wanted: bool) -> None:
    torch.backends.mkldnn.enabled = wanted  # type: ignore[assignment]


def _write_grad_mode(wanted: bool) -> None:
    torch.set_grad_enabled(wanted)


def _path() -> list[str]:
    return list(sys.path)


def _write_path(wanted: list[str]) -> None:
    sys.path[:] = wanted


SETTINGS: Mapping[str, Setting] = {
    "torch's default dtype": Setting(torch.get_default_dtype, torch.set_default_dtype),
    "torch's default device": Setting(_default_device, torch.set_default_device),
    "torch's grad mode": Setting(torch.is_grad_enabled, _write_grad_mode),
    "torch's number of threads": Setting(torch.get_num_threads, torch.set_num_threads),
    "torch's deterministic algorithms": Setting(_deterministic, _write_deterministic),
    "torch's autocast": Setting(_autocast, _write_autocast),
    "torch's float32 precision of matrix products": Setting(_precision, _write_precision),
    "torch's cuDNN flags": Setting(_cudnn, _write_cudnn),
    "torch's oneDNN flag": Setting(_mkldnn, _write_mkldnn),
    "torch's anomaly detection": Setting(torch.is_anomaly_enabled, torch.set_anomaly_enabled),
    "numpy's error state": Setting(lambda: (np.geterr(), np.geterrcall()), _write_errors),
    "the current directory": Setting(_folder, _go_back),
    "os.environ": Setting(_environment, _write_environment, imports=True),
    "sys.path": Setting(_path, _write_path, imports=True),
    "sys.stdout or sys.stderr": Setting(lambda: (sys.stdout, sys.stderr), _write_streams),
    "signal handlers": Setting(_handlers, _write_handlers, _same_handlers),
    "the filters of warnings": Setting(
        lambda: list(warnings.filters), _write_filters, imports=True
    ),
}


class Surroundings:
    """Remembers the settings in ``SETTINGS``, and puts them back.

    A look at all of them takes some 10 microseconds.
    """

    def __init__(self) -> None:
        self._found = {name: setting.read() for name, setting in SETTINGS.items()}
        self._modules = len(sys.modules)

    def put_back(self) -> list[str]:
        """Make everything as it was; return the names of what was not.

        What modules add to the environment, to ``sys.path`` and to the filters of warnings while
        they are imported stays: they do so once.
        """
        imported = len(sys.modules) != self._modules
        self._modules = len(sys.modules)
        changed = []
        for name, setting in SETTINGS.items():
            now = setting.read()
            if setting.same(now, self._found[name]):
                continue
            if imported and setting.imports:
                self._found[name] = now
                continue
            with suppress(OSError, ValueError):  # a folder that is gone
                setting.write(self._found[name])
            changed.append(name)
        return changed


@contextmanager
def kept_surroundings() -> Iterator[Surroundings]:
    """Let others' code run, and put back what it changed around itself, whatever happens."""
    found = Surroundings()
    try:
        yield found
    finally:
        found.put_back()
