"""Bring Airflow's database to the installed version and make its three users; one process, since importing Airflow is
slow.

Run by the supervisor and by the compose service `prepare`, with the environment that Airflow itself gets, and the
users' passwords in `AIRFLOW_PASSWORD_<USER>`. What exists already is left as it is.
"""

import os

from airflow.models.pool import Pool
from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
from airflow.providers.fab.www.security import permissions
from airflow.utils import db

USERS = {"admin": "Admin", "operator": "Op", "viewer": "Viewer"}


def main() -> None:
    """Migrate, then pools, then roles, then users."""
    db.upgradedb()
    Pool.create_or_update_pool(
        "settle",
        slots=4,
        description="Tasks that wait for other DAGs; they take no slot from work",
        include_deferred=False,
    )
    with get_application_builder() as builder:
        manager = builder.sm
        manager.sync_roles()
        # without it a viewer gets 404 for every page that a plugin adds
        manager.add_permission_to_role(
            manager.find_role("Viewer"),
            manager.create_permission(permissions.ACTION_CAN_READ, permissions.RESOURCE_PLUGIN),
        )
        for name, role in USERS.items():
            if manager.find_user(username=name) is None:
                manager.add_user(
                    username=name,
                    first_name=name.capitalize(),
                    last_name="Stellar",
                    email=f"{name}@stellar.invalid",
                    role=manager.find_role(role),
                    password=os.environ[f"AIRFLOW_PASSWORD_{name.upper()}"],
                )


if __name__ == "__main__":
    main()
