"""Where and how llama.cpp computes: on which device, with how many threads, with keys and values in which format."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ...system.errors import ModelError
from ...system.processors import processor_has
from . import libraries

CELL_BLOCK = 256  # llama.cpp rounds the cells of a stream up to a multiple of this
_CPU_CHUNK = 32
_GPU_CHUNK = 512
GGML_TYPES = {"f32": 0, "f16": 1, "q8_0": 8, "bf16": 30}  # of the KV cache, as in ggml.h
BYTES = {"f32": 4.0, "f16": 2.0, "q8_0": 34 / 32, "bf16": 2.0}  # per number


class Split(NamedTuple):
    """How several devices share a model, as llama.cpp has it; without `shares` it goes by free memory."""

    mode: str = "layer"
    shares: tuple[float, ...] = ()
    main_gpu: int = 0


_BY_MEMORY = Split()


@dataclass(frozen=True)
class Hardware:
    """Where and how llama.cpp computes. `gpu_layers` is -1 for all of them."""

    gpu_layers: int
    n_threads: int
    kv_cache: str = "f16"
    uses_extra_buffers: bool = True  # weights are put in other order for AMX and other wide instructions
    rpc: tuple[str, ...] = ()  # host:port of servers that hold layers
    split: Split = _BY_MEMORY

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Hardware:
        """From `dataclasses.asdict`, by way of JSON."""
        mode, shares, main_gpu = plain["split"]
        return cls(**{**plain, "rpc": tuple(plain["rpc"]), "split": Split(mode, tuple(shares), main_gpu)})

    @property
    def chunk(self) -> int:
        """Prompt tokens evaluated together."""
        return _GPU_CHUNK if self.gpu_layers else _CPU_CHUNK

    @property
    def in_words(self) -> str:
        device = f"{'all' if self.gpu_layers < 0 else self.gpu_layers} layers offloaded" if self.gpu_layers else "CPU"
        extra = "" if self.uses_extra_buffers else ", weights in their own order (no AMX, no repacking)"
        return f"{device}, {self.n_threads} threads, {self.kv_cache} KV cache{extra}"

    def fallbacks(self) -> list[Hardware]:
        """What to try, one after the other, where llama.cpp crashes with these."""
        plain = replace(self, uses_extra_buffers=False)
        on_cpu = replace(self, gpu_layers=0, rpc=(), split=_BY_MEMORY)
        wanted = [self, plain, *([on_cpu, replace(on_cpu, uses_extra_buffers=False)] if self.gpu_layers else [])]
        return list(dict.fromkeys(wanted))


def choose_hardware(
    device: str,
    gpu_layers: int | str,
    n_threads: int,
    kv_cache: str = "auto",
    rpc: tuple[str, ...] = (),
    split: Split = _BY_MEMORY,
) -> Hardware:
    """Resolve `runtime` against what this build of llama.cpp can do on this processor."""
    if device == "cpu" and rpc:
        raise ModelError("runtime.rpc names servers for layers, but runtime.device is cpu: leave one of them out")
    libraries.connect(rpc)
    layers = _layers(device, gpu_layers, can_offload=bool(libraries.gpus()))
    _check_split(split, libraries.gpus() if layers else [])
    return Hardware(layers, n_threads, kv_format(layers) if kv_cache == "auto" else kv_cache, rpc=rpc, split=split)


def part_of_gpus(place: int, n_processes: int, n_gpus: int) -> Split:
    """The GPUs of one of several processes, numbered from 0, that divide those of a machine among them.

    So many GPUs are each of one process, or of several where there are more processes.
    """
    first = place * n_gpus // n_processes
    end = max(first + 1, (place + 1) * n_gpus // n_processes)
    if n_gpus < 2 or n_processes == 1:
        return _BY_MEMORY
    if end - first == 1:
        return Split("none", main_gpu=first)
    return Split(shares=tuple(float(first <= gpu < end) for gpu in range(n_gpus)), main_gpu=first)


def kv_format(gpu_layers: int) -> str:
    """`runtime.kv_cache: auto`: a rule, not a timing, so that a file gives one result on one machine.

    bf16 where AVX512_BF16 multiplies it on a processor with AMX: there half of the time is attention with 140 tokens
    held, and bf16 is 1.3 to 1.6 times as fast; elsewhere (AMD EPYC with AVX512_BF16) it is a tenth slower than f16.
    It is no less exact than f16 for quantised models.
    """
    multiplies = libraries.computes_with("AVX512_BF16") and processor_has("amx_int8")
    return "bf16" if multiplies and not gpu_layers else "f16"


def _check_split(split: Split, gpus: list[str]) -> None:
    """Raises ModelError where llama.cpp would not find the GPUs that are named, or would read no share of one."""
    there_are = f"{len(gpus)} in use ({', '.join(gpus)})" if gpus else "none in use"
    if len(split.shares) > len(gpus):
        raise ModelError(
            f"runtime.tensor_split has a share for each of {len(split.shares)} GPUs, but there are {there_are}: a "
            "server of runtime.rpc counts as one"
        )
    if split.shares and not any(split.shares):
        raise ModelError("runtime.tensor_split: every share is 0; at least one GPU must hold something")
    if split.main_gpu and split.main_gpu >= len(gpus):
        raise ModelError(f"runtime.main_gpu is {split.main_gpu}, counted from 0, but of GPUs there are {there_are}")


def _layers(device: str, gpu_layers: int | str, *, can_offload: bool) -> int:
    if device == "gpu" and not can_offload:
        raise ModelError(
            "runtime.device is gpu, but llama.cpp finds none: this build of llama-cpp-python computes on the CPU only, "
            'or no driver is there; build it with CMAKE_ARGS="-DGGML_CUDA=on" (or GGML_METAL, GGML_VULKAN), or set '
            "`device: cpu`"
        )
    if gpu_layers not in ("auto", 0) and (device == "cpu" or not can_offload):
        why = "runtime.device is cpu" if device == "cpu" else "this build of llama-cpp-python computes on the CPU only"
        raise ModelError(f"runtime.gpu_layers is {gpu_layers}, but {why}: leave gpu_layers out, or change that")
    if device == "gpu" and gpu_layers == 0:
        raise ModelError("runtime.device is gpu, but runtime.gpu_layers is 0: leave gpu_layers out, or set device: cpu")
    if device == "cpu" or not can_offload:
        return 0
    return -1 if gpu_layers == "auto" else int(gpu_layers)
