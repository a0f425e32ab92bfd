# One image for every process: migrate, beat, workers, Flower, simulator. What runs is the container's command.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/humansync
# The dependencies change seldom: a layer of their own.
COPY requirements/runtime.txt requirements/
RUN /opt/humansync/bin/pip install -q --no-deps --require-hashes --only-binary :all: -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY config config
COPY humansync humansync
COPY tasks tasks
COPY workers workers
RUN /opt/humansync/bin/pip install -q --no-deps --no-build-isolation .

FROM python:${PYTHON}-slim
# A fixed number, so that volumes and Kubernetes' runAsNonRoot can name it.
RUN useradd --uid 10001 --no-log-init --create-home --home-dir /var/lib/humansync humansync
COPY --from=build /opt/humansync /opt/humansync
ENV PATH=/opt/humansync/bin:$PATH PYTHONUNBUFFERED=1 PYTHONSAFEPATH=1
# The one place it writes to, and only with SQLite: var/humansync.db.
WORKDIR /var/lib/humansync
USER 10001:10001
STOPSIGNAL SIGTERM
CMD ["humansync", "--help"]
