"""
### Train models

Trains, calibrates and evaluates each model of the profile on the current features and labels, registers the version
with its card, and promotes it if its policy allows. Fires when the labels changed. A version that exists (same frame,
config, code and seed) is found, not trained again; one that its policy refuses stays registered with the reasons.

**By hand**: after a model's config changed, or to train on new features; `models` and `files` name some (what
is named is trained even where nothing is due), empty means all of the profile; `dry_run` says what would be trained.

**Resume**: clear the failed task, or trigger again; versions already trained are found.

**A failure looks like** a `train` log with the model's name and what is missing from its frame. Not being promoted is
no failure: `stellar models show MODEL` says why.
"""

from airflow.sdk import dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from common.forms import model_params
from common.names import DAG_DEFAULTS, Tag, assets, models
from common.tasks import announce, flow_context, settle, tell


@task
def plan() -> list[str]:
    from stellar import flow

    params = get_current_context()["params"]
    with flow_context() as ctx:
        names = flow.train_plan(ctx, [*params["models"], *params["files"]] or None)
        if not params["dry_run"]:
            return names
        tell(f"Dry run. {flow.training_text(ctx, names)}")
    raise AirflowSkipException("dry run: nothing was changed")


@task(map_index_template="{{ model }}")
def train(model: str) -> dict | None:
    from stellar import flow

    get_current_context()["model"] = model
    with flow_context() as ctx:
        result = flow.train(ctx, model, who="airflow")
    tell(flow.trained_text(result))
    return {"dataset": f"models.{result['model'].replace('-', '_')}", **result} if result["promoted"] else None


@dag(schedule=assets("features", "labels"), params=model_params(), tags=[Tag.MODELS], doc_md=__doc__, **DAG_DEFAULTS)
def train_models() -> None:
    names = plan()
    due = settle(["build_catalog", "extract_features"])
    names >> due
    trained = train.expand(model=names)
    due >> trained
    announce.override(outlets=models())(trained)


train_models()
