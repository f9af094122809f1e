#!/bin/sh
# Compiles one file of llama.cpp: CMake's compiler launcher (see build_llama.py).
# GCC's _tile_loadconfig says that it reads 8 of the 64 bytes of a tile configuration, so the stores of the others
# count as dead, and AMX traps (llama.cpp issue 20824). Keep dead stores in the one file that has them; clang needs
# no such help. $LLAMA_EXTRA_FLAGS go to every file.
case "$*" in
*ggml-cpu/amx/mmq.cpp*) "$1" --version | grep -q clang || set -- "$@" -fno-tree-dse -fno-dse ;;
esac
exec "$@" $LLAMA_EXTRA_FLAGS
