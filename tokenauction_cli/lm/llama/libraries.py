"""llama.cpp's shared libraries: where they are, what they say of themselves, and which devices they offer layers to."""

from __future__ import annotations

import ctypes
import hashlib
import os
import socket
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import llama_cpp

from ...system.errors import ModelError
from ...system.processors import processor_has
from .llama_build import COMMAND as REBUILD
from .llama_build import installed

_SUFFIXES = (".so", ".dylib", ".dll")
_GPU, _INTEGRATED_GPU = 1, 2  # ggml_backend_dev_type, as of llama.cpp's ggml-backend.h
_SECONDS_TO_ANSWER = 3.0


def folder() -> Path:
    """Where llama-cpp-python loads its libraries from."""
    return Path(os.environ.get("LLAMA_CPP_LIB_PATH") or Path(llama_cpp.__file__).parent / "lib")


@lru_cache(maxsize=1)
def digests() -> dict[str, str]:
    """The sha256 of every library: equal digests compute equally."""
    libraries = sorted(path for path in folder().iterdir() if path.suffix in _SUFFIXES)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in libraries}


@lru_cache(maxsize=1)
def system_info() -> str:
    """What llama.cpp was compiled for and finds here, such as "CPU : AVX2 = 1 | AMX_INT8 = 1"."""
    llama_cpp.llama_backend_init()
    return str(llama_cpp.llama_print_system_info().decode("utf-8", "replace")).strip(" |")


def computes_with(feature: str) -> bool:
    """Whether the build has an instruction set that this processor has too, such as AVX512_BF16."""
    return f"{feature} = 1" in system_info()


def amx() -> str:
    """Whether llama.cpp uses AMX here, and what to do where it could and does not."""
    if computes_with("AMX_INT8"):
        return "compiled in"
    if not processor_has("amx_int8"):
        return "not on this processor"
    build = installed()
    if build is not None and build.has_amx_switched_off:
        return "left out of the build, because it crashed on this processor"
    return f"on this processor, but not in this build; rebuild with `{REBUILD}` for twice the speed"


def on_abort(callback: Any) -> None:
    """What is called, with a reason, before llama.cpp ends the process."""
    ggml().ggml_set_abort_callback(callback)


def gpus() -> list[str]:
    """The devices that can hold layers: GPUs, and the servers of `connect`."""
    return [ggml().ggml_backend_dev_name(device).decode("utf-8", "replace") for device in _gpu_devices()]


def gpu_models() -> list[str]:
    """What each of them is, such as "NVIDIA H200"."""
    return [ggml().ggml_backend_dev_description(device).decode("utf-8", "replace") for device in _gpu_devices()]


def type_name(kind: int) -> str:
    """What ggml calls a type of numbers that llama.cpp has found in a file, in capitals, as in "Q4_1"."""
    return str(ggml().ggml_type_name(kind).decode("ascii", "replace")).upper()


def bytes_of_row(kind: int, n_numbers: int) -> int:
    """Of so many numbers of a type that llama.cpp has found in a file."""
    return int(ggml().ggml_row_size(kind, n_numbers))


def _gpu_devices() -> list[int]:
    llama_cpp.llama_backend_init()
    library = ggml()
    devices = [library.ggml_backend_dev_get(k) for k in range(library.ggml_backend_dev_count())]
    return [device for device in devices if library.ggml_backend_dev_type(device) in (_GPU, _INTEGRATED_GPU)]


def connect(servers: tuple[str, ...]) -> None:
    """Make the devices of llama.cpp's RPC servers (host:port) ours, each once.

    Raises ModelError where one does not answer: llama.cpp itself would end the process.
    """
    for server in servers:
        check_answers(server)
        _add(server)


@cache
def _add(server: str) -> None:
    add = getattr(ggml(), "ggml_backend_rpc_add_server", None)
    if add is None:
        raise ModelError(f"runtime.rpc: this llama.cpp has no RPC backend; build it anew with `{REBUILD}`")
    add.restype = ctypes.c_void_p
    registry = add(server.encode())
    if not registry:
        raise ModelError(f"runtime.rpc: {server} is no RPC server of this version of llama.cpp")
    ggml().ggml_backend_register(ctypes.c_void_p(registry))


def check_answers(server: str) -> None:
    """Raises ModelError where nothing listens there."""
    host, _, port = server.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _SECONDS_TO_ANSWER).close()
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = f"runtime.rpc: nothing answers at {server} ({reason}): start its RPC server, or leave it out"
        raise ModelError(message) from None


@lru_cache(maxsize=1)
def ggml() -> ctypes.CDLL:
    """libllama, by which the functions of every library below it are found."""
    library = ctypes.CDLL(
        str(next(path for path in folder().iterdir() if path.name.split(".")[0] in ("libllama", "llama")))
    )
    library.ggml_backend_dev_count.restype = ctypes.c_size_t
    library.ggml_backend_dev_get.argtypes = (ctypes.c_size_t,)
    library.ggml_backend_dev_get.restype = ctypes.c_void_p
    for function in (
        library.ggml_backend_dev_type,
        library.ggml_backend_dev_name,
        library.ggml_backend_dev_description,
    ):
        function.argtypes = (ctypes.c_void_p,)
    library.ggml_type_name.argtypes = (ctypes.c_int,)
    library.ggml_type_name.restype = ctypes.c_char_p
    library.ggml_row_size.argtypes = (ctypes.c_int, ctypes.c_int64)
    library.ggml_row_size.restype = ctypes.c_size_t
    library.ggml_tensor_overhead.restype = ctypes.c_size_t
    library.ggml_op_desc.argtypes = (ctypes.c_void_p,)
    library.ggml_op_desc.restype = ctypes.c_char_p
    library.ggml_backend_tensor_get.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)
    library.ggml_backend_dev_name.restype = library.ggml_backend_dev_description.restype = ctypes.c_char_p
    return library
