"""The platform's pages in Airflow's UI. What they show comes from `stellar.serving`; who may see it, from Airflow."""

from airflow.plugins_manager import AirflowPlugin

from stellar_pages.app import PAGES, PREFIX, app  # beside this file
from stellar_pages.links import LINKS


class StellarPlugin(AirflowPlugin):
    """Pages for the operator, the astronomer and the auditor."""

    name = "stellar"
    fastapi_apps = [{"app": app, "url_prefix": f"/{PREFIX}", "name": "Stellar Platform"}]  # noqa: RUF012
    external_views = [
        {
            "name": page.title,
            "href": f"{PREFIX}/pages/{page.name}",
            "url_route": f"stellar-{page.name}",
            "destination": "nav",
            "category": "Stellar",
        }
        for page in PAGES
        if page.in_menu
    ] + [
        {  # a tab of every run: what it made, where the rows went, what its gates said
            "name": "Rows and gates",
            "href": f"{PREFIX}/pages/quality?run={{DAG_ID}}/{{RUN_ID}}",
            "url_route": "stellar-run",
            "destination": "dag_run",
        }
    ]
    global_operator_extra_links = list(LINKS)  # noqa: RUF012
