"""Who may see and who may act: Airflow's own users and rights, asked anew at each request."""

from collections.abc import Callable
from typing import Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import Depends, HTTPException, Request, status

#: A page's script sends it with all that changes something; a form of another site cannot.
ACTION_HEADER = "x-stellar-action"


def reader(user: GetUserDep) -> BaseUser:
    """User who may look at the pages.

    Raises
    ------
    fastapi.HTTPException
        401 without a login, 403 without the right to read plugins' pages and assets.
    """
    manager = get_auth_manager()
    if not (
        manager.is_authorized_view(access_view=AccessView.PLUGINS, user=user)
        and manager.is_authorized_asset(method="GET", user=user)
    ):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "you may not look at the pages of the Stellar Platform")
    return user


def may_act(user: BaseUser, dag_id: str | None = None) -> bool:
    """Whether a user may change things: may trigger the DAG that would do it, or, without one, every DAG."""
    return get_auth_manager().is_authorized_dag(
        method="POST", access_entity=DagAccessEntity.RUN, details=DagDetails(id=dag_id), user=user
    )


def actor(dag_id: str | None = None) -> Callable[..., BaseUser]:
    """Dependency: a user who may act as `may_act` says, from a page of ours.

    Raises
    ------
    fastapi.HTTPException
        403 when the user may only look, or the request does not come from a page's script.
    """

    def allowed(request: Request, user: Annotated[Any, Depends(reader)]) -> BaseUser:
        if not may_act(user, dag_id):
            raise HTTPException(
                status.HTTP_403_FORBIDDEN, "you may look, not act: this needs the right to trigger runs"
            )
        if request.headers.get(ACTION_HEADER) != "1":
            raise HTTPException(
                status.HTTP_403_FORBIDDEN, f"send the header {ACTION_HEADER}: 1 with what changes things"
            )
        return user

    return allowed


Reader = Annotated[Any, Depends(reader)]
Actor = Annotated[Any, Depends(actor())]
