"""What `runtime` may say: on what a run computes, and how fast."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict, StringConstraints

from .values import Auto, Flag, Layers, Number, Section, Whole, says

Server = Annotated[
    str,
    Strict(),
    StringConstraints(pattern=r"^(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$"),
    says("a server as host:port"),
]


class Runtime(Section):
    """Where and how fast: nothing here is meant to change a result."""

    device: Annotated[Literal["auto", "cpu", "gpu"], says("auto, cpu or gpu")] = Field(
        default="auto", description="Where to run."
    )
    threads: Auto = Field(
        default="auto", description="Processor cores used. Default: the physical ones that this process may use."
    )
    context: Auto = Field(
        default="auto", description="Tokens of memory (KV cells) per model. Default: what the plan needs."
    )
    batch: Auto = Field(
        default="auto",
        description="Sequences evaluated together. auto: as many as are fastest for the weights, by a table.",
    )
    gpu_layers: Layers = Field(default="auto", description="Layers of the model kept on the GPU.")
    rpc: tuple[Server, ...] = Field(
        default=(), description="Servers of llama.cpp that hold layers, each host:port. Trusted networks only."
    )
    split_mode: Annotated[Literal["none", "layer", "row"], says("none, layer or row")] = Field(
        default="layer",
        description="How several GPUs share a model: by layers, by rows of its matrices, or not at all.",
    )
    tensor_split: tuple[Number, ...] = Field(
        default=(),
        description="What each GPU holds in proportion, as in [3, 1]; the servers of rpc count as GPUs and come first. "
        "Default: as their free memory is.",
    )
    main_gpu: Whole = Field(default=0, description="The GPU, from 0, that does what is not shared.")
    kv_cache: Annotated[Literal["auto", "f16", "bf16", "q8_0", "f32"], says("auto, f16, bf16, q8_0 or f32")] = Field(
        default="auto",
        description="Format of keys and values. auto: bf16 on CPUs with AMX and AVX512_BF16, else f16.",
    )
    weights: Annotated[Literal["auto", "file", "bf16", "f16"], says("auto, file, bf16 or f16")] = Field(
        default="auto",
        description="Format of the weights: as the file has them, or a copy in bf16 or f16. auto: a copy where that is "
        "known to be faster on this kind of processor. A run keeps the format that it began with.",
    )
    deterministic: Flag = Field(
        default=False, description="Evaluate every token alone: slower, and bit-identical in any batch."
    )
