"""llama.cpp's own RPC server, which holds layers for others: run as a script in a process of its own.

    python rpc_server.py 127.0.0.1:50052

ggml-rpc's function serves until it is killed; it offers the processor as its device.
"""

from __future__ import annotations

import ctypes
import sys

import llama_cpp

from tokenauction_cli.lm.llama.libraries import folder

_CPU = 0


def main(endpoint: str) -> None:
    llama_cpp.llama_backend_init()
    llama = ctypes.CDLL(str(next(folder().glob("libllama.*"))))
    llama.ggml_backend_dev_by_type.restype = ctypes.c_void_p
    start = llama.ggml_backend_rpc_start_server
    start.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_void_p)
    devices = (ctypes.c_void_p * 1)(llama.ggml_backend_dev_by_type(_CPU))
    start(endpoint.encode(), None, 1, 1, ctypes.cast(devices, ctypes.c_void_p))


if __name__ == "__main__":
    main(sys.argv[1])
