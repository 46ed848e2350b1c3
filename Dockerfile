# One image for every part; docker-compose.yaml says which part a container is.
FROM python:3.11.13-slim-bookworm

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 \
    STELLAR_ROOT=/opt/stellar STELLAR_HOME=/var/lib/stellar \
    AIRFLOW_HOME=/var/lib/stellar/airflow AIRFLOW_CONFIG=/opt/stellar/airflow.cfg

WORKDIR /opt/stellar
COPY requirements.txt ./
RUN pip install "uv==0.13.8" \
    && uv pip install --system --no-cache --no-deps --require-hashes -r requirements.txt

COPY pyproject.toml README.md airflow.cfg ./
COPY include ./include
RUN pip install --no-deps --no-build-isolation --editable . \
    && python -m compileall -q include \
    && python -m stellar.sky.kernel
COPY sql ./sql
COPY ops ./ops
COPY plugins ./plugins
COPY dags ./dags

RUN useradd --system --uid 10001 --home-dir /var/lib/stellar stellar \
    && install -d -o stellar -g stellar /var/lib/stellar
USER 10001
VOLUME /var/lib/stellar
ENTRYPOINT ["/opt/stellar/ops/entrypoint.sh"]
CMD ["stellar", "--help"]
