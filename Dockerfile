# Two images from one file:
#
#   docker build --target gateway -t cascadia-gateway:0.1.0 .
#   docker build --target engine  -t cascadia-engine:0.1.0 .
#
# Base images are pinned by version tag. Pin them by digest as well before you rely on a build being repeatable: a
# digest can only be looked up with access to the registry.
#
# No init process is built in. `docker run --init` (compose: `init: true`) supplies one; the engine image needs it, since
# what a killed engine leaves behind becomes a child of process 1, which must collect it.

ARG PYTHON_IMAGE=python:3.12.12-slim-bookworm
# vLLM's own image, with CUDA and the compilers that its kernels are built with at run time. Its Python has to be of the
# same minor version as PYTHON_IMAGE: both install the same wheels.
ARG ENGINE_IMAGE=vllm/vllm-openai:v0.32.0

# --- wheels: everything that is installed later, fetched and checked once

FROM ${PYTHON_IMAGE} AS wheels
WORKDIR /src
COPY requirements/core.txt requirements/core.txt
RUN pip download --no-cache-dir --only-binary=:all: --no-deps --require-hashes --dest /wheels --requirement requirements/core.txt
COPY pyproject.toml README.md LICENSE ./
COPY config config
COPY engines engines
COPY gateway gateway
COPY simulation simulation
# The build backend is the one thing that no hash names. It builds the wheel and is not in it.
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

# --- native: the hot path compiled, for this very Python

FROM wheels AS native
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
COPY requirements/native.txt requirements/native.txt
RUN pip install --no-cache-dir --require-hashes --requirement requirements/native.txt \
 && pip install --no-cache-dir --no-index --no-deps /wheels/*.whl \
 && python -m gateway.native.build \
 && test -e gateway/native/built/digest

# --- gateway: the core alone; also runs simulated engines

FROM ${PYTHON_IMAGE} AS gateway
RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    python -m venv /opt/cascadia \
 && /opt/cascadia/bin/python -m pip install --no-cache-dir --no-index --no-deps /wheels/*.whl \
 && /opt/cascadia/bin/python -m pip uninstall --yes pip \
 && ln -s /opt/cascadia/bin/cascadia /usr/local/bin/cascadia
COPY --from=native /src/gateway/native/built /tmp/built
RUN mv /tmp/built "$(/opt/cascadia/bin/python -c 'from gateway.native import BUILT; print(BUILT)')" \
 && /opt/cascadia/bin/python -c 'import gateway; assert gateway.IS_NATIVE'
# Both images have the same user and the same empty, private data folder: a volume that is mounted there for the first
# time takes over owner and mode, and either container may be the first.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/cascadia --shell /usr/sbin/nologin cascadia \
 && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/cascadia
COPY config/container.yaml /etc/cascadia/cascadia.yaml
ENV CASCADIA_CONFIG=/etc/cascadia/cascadia.yaml \
    CASCADIA_DATA_DIR=/var/lib/cascadia \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /var/lib/cascadia
USER 10001:10001
VOLUME ["/var/lib/cascadia"]
EXPOSE 8000 8001
STOPSIGNAL SIGTERM
# Healthy: a request would be answered now. Waiting for an engine is not a failure until start_period is over.
HEALTHCHECK --interval=10s --timeout=5s --start-period=600s --retries=3 \
    CMD ["/opt/cascadia/bin/python", "-I", "-c", "from urllib.request import ProxyHandler, build_opener; build_opener(ProxyHandler({})).open('http://127.0.0.1:8000/readyz', timeout=3)"]
ENTRYPOINT ["cascadia"]
CMD ["gateway"]

# --- engine: the supervisor and its workers, on vLLM's image

FROM ${ENGINE_IMAGE} AS engine
USER root
# The core gets an environment of its own here too: vLLM holds back the versions of fastapi, starlette and pydantic.
RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    /usr/bin/python3 -c "from importlib.metadata import version; assert version('vllm').startswith('0.32.'), version('vllm')" \
 && /usr/bin/python3 -m venv /opt/cascadia \
 && /opt/cascadia/bin/python -m pip install --no-cache-dir --no-index --no-deps /wheels/*.whl \
 && /opt/cascadia/bin/python -m pip uninstall --yes pip \
 && ln -s /opt/cascadia/bin/cascadia /usr/local/bin/cascadia
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/cache/cascadia --shell /usr/sbin/nologin cascadia \
 && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/cascadia /var/cache/cascadia
COPY config/container.yaml /etc/cascadia/cascadia.yaml
# Compiled kernels and downloaded models are kept in the cache folder: a volume there saves minutes at the next start.
ENV CASCADIA_CONFIG=/etc/cascadia/cascadia.yaml \
    CASCADIA_DATA_DIR=/var/lib/cascadia \
    HOME=/var/cache/cascadia \
    HF_HOME=/var/cache/cascadia/huggingface \
    XDG_CACHE_HOME=/var/cache/cascadia \
    PYTHONUNBUFFERED=1
WORKDIR /var/lib/cascadia
USER 10001:10001
VOLUME ["/var/lib/cascadia", "/var/cache/cascadia"]
STOPSIGNAL SIGTERM
# Healthy: a worker has answered a real request. The roster says so; nothing is asked of the engine.
HEALTHCHECK --interval=10s --timeout=5s --start-period=600s --retries=3 \
    CMD ["/opt/cascadia/bin/python", "-I", "-c", "import sys; from pathlib import Path; from engines.roster import WorkerStatus, read; found = read(Path('/var/lib/cascadia/run/engines.json')); sys.exit(found is None or all(worker.status is not WorkerStatus.READY for worker in found.workers))"]
ENTRYPOINT ["cascadia"]
CMD ["engines"]
