# syntax=docker/dockerfile:1
# The service without tests, benchmarks and demo: what pyproject.toml calls the core, plus PostgreSQL, all of it at the versions of
# requirements.lock, the build tool included. Beside it, in an environment of its own that the service never imports from, what
# renders drift reports; `--target service` leaves that out. tests/deploy/test_image.py takes these very steps in an empty root.
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements.lock ./
RUN python -m venv /opt/build \
 && /opt/build/bin/pip install --constraint requirements.lock setuptools
COPY pyproject.toml README.md LICENSE ./
COPY detectors detectors
COPY redteam redteam
COPY service service
COPY migrations migrations
# The wheel is built with the locked build tool: isolation would fetch another one. The environment that is shipped has no pip in it.
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /opt/wheel . \
 && python -m venv --without-pip /opt/lazaretto \
 && wheel=$(ls /opt/wheel/lazaretto-*.whl) \
 && /opt/build/bin/pip --python /opt/lazaretto install --only-binary :all: --constraint requirements.lock "${wheel}[postgres]"

FROM build AS build-reports
# What the extra `reports` names, and nothing of the service: an interpreter that renders has no code of ours to reach.
RUN python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["reports"], sep="\n")' > /opt/reports.txt \
 && python -m venv --without-pip /opt/reports \
 && /opt/build/bin/pip --python /opt/reports install --only-binary :all: --constraint requirements.lock --requirement /opt/reports.txt

FROM python:${PYTHON_VERSION}-slim-bookworm AS service
LABEL org.opencontainers.image.title="Lazaretto" \
      org.opencontainers.image.description="Model monitoring: telemetry in, evidence out, quarantine enforced at the gate" \
      org.opencontainers.image.licenses="Apache-2.0"
# The folder of the data exists and is the user's, so that a fresh volume becomes the user's, too.
RUN groupadd --system --gid 10001 lazaretto \
 && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/lazaretto --no-create-home --shell /usr/sbin/nologin lazaretto \
 && install -d -m 0750 -o 10001 -g 10001 /var/lib/lazaretto
COPY --from=build /opt/lazaretto /opt/lazaretto
ENV PATH=/opt/lazaretto/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LAZARETTO_HOST=0.0.0.0 \
    LAZARETTO_PORT=8080 \
    LAZARETTO_DATA_DIR=/var/lib/lazaretto/data \
    LAZARETTO_WORKER_PULSE_FILE=/var/lib/lazaretto/worker.pulse
WORKDIR /var/lib/lazaretto
# A number: Kubernetes cannot tell from a name that it is not root.
USER 10001:10001
VOLUME /var/lib/lazaretto
EXPOSE 8080
# The API ends in order at SIGTERM, within shutdown_seconds and a little: give it 60 s (--stop-timeout, stop_grace_period).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 CMD ["lazaretto", "health"]
ENTRYPOINT ["lazaretto"]
CMD ["serve"]

FROM service AS reports
COPY --from=build-reports /opt/reports /opt/reports
# One process at a time renders, within these bytes of address space (700 to 800 MiB are used, 350 to 450 of them resident).
ENV LAZARETTO_REPORTS_PYTHON=/opt/reports/bin/python \
    LAZARETTO_REPORTS_MEMORY_BYTES_MAX=1073741824
