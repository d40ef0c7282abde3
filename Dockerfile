# syntax=docker/dockerfile:1
# The service without tests, benchmarks and demo: what pyproject.toml calls the core, plus PostgreSQL, at the locked versions.

FROM python:3.11-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/lazaretto
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY detectors detectors
COPY redteam redteam
COPY service service
COPY migrations migrations
RUN /opt/lazaretto/bin/pip install --no-cache-dir --disable-pip-version-check \
    --constraint requirements.lock ".[postgres]"

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/lazaretto --create-home lazaretto
COPY --from=build /opt/lazaretto /opt/lazaretto
ENV PATH=/opt/lazaretto/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LAZARETTO_HOST=0.0.0.0 \
    LAZARETTO_PORT=8080 \
    LAZARETTO_DATA_DIR=/var/lib/lazaretto/data
WORKDIR /var/lib/lazaretto
USER lazaretto
VOLUME /var/lib/lazaretto
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['LAZARETTO_PORT']}/healthz\", timeout=2)"]
ENTRYPOINT ["lazaretto"]
CMD ["serve"]
