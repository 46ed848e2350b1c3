#!/usr/bin/env bash
# Generate what docker-compose.yaml mounts as secrets, once, into .secrets/ (never committed).
set -euo pipefail
cd "$(dirname "$0")/.."
umask 077
mkdir -p .secrets
make_one() { [[ -s .secrets/$1 ]] || python3 -c "import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode()$2, end='')" >".secrets/$1"; }
for name in postgres_password redis_password airflow_api airflow_jwt airflow_user_admin airflow_user_operator airflow_user_viewer; do
    make_one "$name" ".rstrip('=')"
done
make_one airflow_fernet ""
# The folder is closed to everybody else on this machine. The files in it are not, because a file that compose mounts
# as a secret keeps its owner and mode, and the containers' user (10001) is not you.
chmod 700 .secrets
chmod 644 .secrets/*
echo "secrets are in $PWD/.secrets; the UI's passwords are airflow_user_*"
