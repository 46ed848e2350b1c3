#!/usr/bin/env bash
# In a container: secrets come as files in /run/secrets; what Airflow and the platform read comes by environment.
set -euo pipefail

secret() { cat "/run/secrets/$1"; }

if [[ -r /run/secrets/postgres_password ]]; then
    server="stellar:$(secret postgres_password)@postgres:5432"
    export STELLAR_POSTGRES_URL="postgresql://$server/stellar"
    export AIRFLOW__DATABASE__SQL_ALCHEMY_CONN="postgresql+psycopg2://$server/airflow"
    export AIRFLOW__CELERY__RESULT_BACKEND="db+postgresql://$server/airflow"
fi
if [[ -r /run/secrets/redis_password ]]; then
    AIRFLOW__CELERY__BROKER_URL="redis://:$(secret redis_password)@redis:6379/0"
    export AIRFLOW__CELERY__BROKER_URL
fi
if [[ -r /run/secrets/airflow_fernet ]]; then
    AIRFLOW__CORE__FERNET_KEY=$(secret airflow_fernet)
    AIRFLOW__API__SECRET_KEY=$(secret airflow_api)
    AIRFLOW__API_AUTH__JWT_SECRET=$(secret airflow_jwt)
    export AIRFLOW__CORE__FERNET_KEY AIRFLOW__API__SECRET_KEY AIRFLOW__API_AUTH__JWT_SECRET
fi
for user in admin operator viewer; do
    if [[ -r /run/secrets/airflow_user_$user ]]; then
        export "AIRFLOW_PASSWORD_${user^^}=$(secret "airflow_user_$user")"
    fi
done

exec "$@"
