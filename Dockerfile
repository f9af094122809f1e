# syntax=docker/dockerfile:1
# tokauction with the demo's model, on CPUs:     docker build -t tokauction .
# for NVIDIA GPUs (CUDA 12):                     docker build -t tokauction:cuda --target cuda .
#
# llama.cpp is compiled for any x86 processor with AVX2, or any ARM one of the builder's kind, so that an image can move.
# For the processor that builds it, with AVX-512 or AMX where it has them: --build-arg CMAKE_ARGS=-DGGML_NATIVE=ON

FROM python:3.12-slim-bookworm AS cpu-build
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends build-essential && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/tokauction
ENV PATH=/opt/tokauction/bin:$PATH
WORKDIR /source
COPY . .
ARG CMAKE_ARGS=-DGGML_NATIVE=OFF
RUN python -m tokenauction_cli.lm.build_llama --requirements requirements.lock \
 && pip install --no-cache-dir --constraint requirements.lock '.[demo,report,cluster]'

FROM nvidia/cuda:12.6.3-devel-ubuntu24.04 AS cuda-build
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends build-essential python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/tokauction
ENV PATH=/opt/tokauction/bin:$PATH
WORKDIR /source
COPY . .
# The driver's library is not there while an image is built.
ARG CMAKE_ARGS="-DGGML_NATIVE=OFF -DGGML_CUDA=ON -DCMAKE_SHARED_LINKER_FLAGS=-Wl,--allow-shlib-undefined"
RUN python -m tokenauction_cli.lm.build_llama --requirements requirements.lock \
 && pip install --no-cache-dir --constraint requirements.lock '.[demo,report,cluster]'

FROM nvidia/cuda:12.6.3-runtime-ubuntu24.04 AS cuda
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 python3 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --create-home tokauction
COPY --from=cuda-build /opt/tokauction /opt/tokauction
ENV PATH=/opt/tokauction/bin:$PATH
USER 10001
WORKDIR /home/tokauction
COPY --chown=10001 experiments experiments
ENTRYPOINT ["tokauction"]

FROM python:3.12-slim-bookworm AS cpu
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --create-home tokauction
COPY --from=cpu-build /opt/tokauction /opt/tokauction
ENV PATH=/opt/tokauction/bin:$PATH
USER 10001
WORKDIR /home/tokauction
COPY --chown=10001 experiments experiments
ENTRYPOINT ["tokauction"]
