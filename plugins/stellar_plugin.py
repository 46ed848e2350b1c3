"""The platform's pages in Airflow's UI. What they show comes from `stellar.serving`; who may see it, from Airflow."""

from airflow.plugins_manager import AirflowPlugin

from stellar_pages.app import PAGES, PREFIX, app  # beside this file


class StellarPlugin(AirflowPlugin):
    """Pages for the operator, the astronomer and the auditor."""

    name = "stellar"
    fastapi_apps = [{"app": app, "url_prefix": f"/{PREFIX}", "name": "Stellar Platform"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": page.title,
            "href": f"{PREFIX}/pages/{page.name}",
            "url_route": f"stellar-{page.name}",
            "destination": "nav",
            "category": "Stellar",
        }
        for page in PAGES
        if page.in_menu
    ]
