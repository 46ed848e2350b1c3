"""
### Train models

Trains, calibrates and evaluates each model of the profile on the current features and labels, registers the version
with its card, and promotes it if its policy allows. Fires when the labels changed. A version that exists (same frame,
config, code and seed) is found, not trained again; one that its policy refuses stays registered with the reasons.

**By hand**: after a model's config changed, or to train on new features; `models` names some, or YAML files below the
project's root (`my-model.yaml`), empty means all of the profile.

**Resume**: clear the failed task, or trigger again; versions already trained are found.

**A failure looks like** a `train` log with the model's name and what is missing from its frame. Not being promoted is
no failure: `stellar models show MODEL` says why.
"""

from airflow.sdk import Param, dag, get_current_context, task

from common.names import DAG_DEFAULTS, Tag, assets, models, profile
from common.tasks import announce, flow_context, settle


@task
def plan() -> list[str]:
    from stellar import flow

    with flow_context() as ctx:
        return flow.train_plan(ctx, get_current_context()["params"]["models"] or None)


@task(map_index_template="{{ model }}")
def train(model: str) -> str | None:
    from stellar import flow

    get_current_context()["model"] = model
    with flow_context() as ctx:
        result = flow.train(ctx, model, who="airflow")
    print(result)
    return f"models.{result['model'].replace('-', '_')}" if result["promoted"] else None


CHOICE = Param(
    [], type="array", examples=profile()["models"], description="Models to train, or YAML files; empty means all"
)


@dag(
    schedule=assets("features", "labels"), params={"models": CHOICE}, tags=[Tag.MODELS], doc_md=__doc__, **DAG_DEFAULTS
)
def train_models() -> None:
    names = plan()
    settle(["build_catalog", "extract_features"]) >> names
    announce.override(outlets=models())(train.expand(model=names))


train_models()
