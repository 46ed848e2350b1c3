"""Training from a real lake into a real ledger."""

import json
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from made_lake import bring, bring_stars
from made_stars import make_class_config, make_config, make_stars
from stellar.engine.context import Context
from stellar.errors import InputError
from stellar.registry import versions
from stellar.registry.bundle import Bundle
from stellar.registry.promotion import history
from stellar.registry.store import ArtifactStore
from stellar.training import train as module
from stellar.training.compare import compare_versions
from stellar.training.config import load_config
from stellar.training.train import is_trained, train


@pytest.fixture
def ctx(settings, ledger):
    return Context(settings, ledger, "run-1")


def test_a_model_is_trained_registered_and_found_again(ctx, monkeypatch):
    assert is_trained(ctx, make_config()), "there is nothing to train it from"
    bring_stars(ctx)
    assert not is_trained(ctx, make_config())
    result = train(ctx, make_config(), who="tester")
    assert is_trained(ctx, make_config())
    assert (result.outcome, result.promoted) == ("trained", True)
    assert result.metrics["mae"].value < 400
    assert json.loads(json.dumps(result.to_dict()))["version_key"] == result.version_key
    version = versions.current(ctx.engine, "test-teff")
    assert version.key == result.version_key
    stored = {row.name: row.value for row in versions.metrics_of(ctx.engine, version.key) if row.slice == "all"}
    assert stored["mae"] == result.metrics["mae"].value

    def never(*_):
        raise AssertionError("it was trained again")

    monkeypatch.setattr(module, "fit", never)
    again = train(ctx, make_config(), who="tester")
    assert (again.outcome, again.version_key, again.promoted) == ("found", result.version_key, True)
    assert again.metrics["mae"] == result.metrics["mae"]
    assert len(history(ctx.engine, "test-teff")) == 1


def test_figures_over_several_deals_and_cells_stand_in_the_card_beside_the_baseline_s(ctx):
    bring_stars(ctx)
    config = make_config(
        split={"folds": 3, "deals": 2, "also_by_cell": 3},
        params={"rounds": 10, "threads": 1},
        baselines={"colour alone": {"architecture": "xgb_quantile", "columns": ["bp_rp"], "params": {"rounds": 10}}},
    )
    version = versions.find_version(ctx.engine, train(ctx, config).version_key)
    artifact = ArtifactStore(ctx.settings.artifacts).get(version.artifact_sha256)
    card = (artifact / "card.md").read_text()
    rows = {line.split(" | ")[0].strip("| "): line.strip(" |").split(" | ") for line in card.splitlines()}
    assert "Each is the mean over 2 deals of the folds" in card
    value, least, most = (float(rows["mae"][place]) for place in (1, 4, 5))
    assert least <= value <= most and least < most
    assert not any(cell.strip() for cell in rows["mae_by_cell"][4:])  # its folds are cells, dealt once
    assert "dealt 2 times" in (artifact / "report.html").read_text()


def test_the_artifact_is_whole_and_its_lineage_reaches_the_batch(ctx):
    bring_stars(ctx)
    version = versions.find_version(ctx.engine, train(ctx, make_config()).version_key)
    folder = ArtifactStore(ctx.settings.artifacts).get(version.artifact_sha256)
    card = (folder / "card.md").read_text()
    for said in ("mae", "raw.stars", "made by the tests", "features.made", "| stars | made |", "Slices"):
        assert said in card
    assert {"card.md", "examples.parquet", "residuals.png", "config.json"} <= {path.name for path in folder.iterdir()}
    parts = pq.read_table(folder / "examples.parquet").column("part").to_pylist()
    assert set(parts) == {"train", "validation", "calibration", "test"}
    assert Bundle.load(folder).predict(make_stars(5)).num_rows == 5
    with ctx.engine.connect() as connection:
        kinds = connection.execute(
            sa.text("select distinct parent_kind from lineage.walk_up(:key)"), {"key": version.key}
        ).scalars()
        assert set(kinds) == {"snapshot", "batch"}


def test_new_examples_make_a_new_version_and_other_new_rows_do_not(ctx):
    bring_stars(ctx)
    first = train(ctx, make_class_config())
    unlabelled = make_stars(20, seed=8).rename_columns({"object_id": "name"}).select(["name", "ra", "dec", "g_mag"])
    unlabelled = unlabelled.append_column("object_id", pa.array([f"dark-{k}" for k in range(20)]))
    bring(ctx, pa.concat_tables([make_stars(0), unlabelled.drop("name")], promote_options="default"), unit="dark")
    assert train(ctx, make_class_config()).found
    bring(
        ctx, make_stars(20, seed=9).set_column(0, "object_id", pa.array([f"new-{k}" for k in range(20)])), unit="more"
    )
    second = train(ctx, make_class_config())
    assert second.outcome == "trained"
    assert second.version_key != first.version_key


def test_a_worse_version_is_registered_and_not_promoted(ctx):
    bring_stars(ctx)
    good = train(ctx, make_config())
    bad = train(ctx, make_config(params={"rounds": 2, "learning_rate": 0.05, "threads": 1}))
    assert (bad.outcome, bad.promoted) == ("trained", False)
    assert any(reason.startswith("failed: mae not worse than the current version's") for reason in bad.reasons)
    assert versions.current(ctx.engine, "test-teff").key == good.version_key
    kept = versions.find_version(ctx.engine, bad.version_key)
    assert kept.state == "rejected"
    assert "paired difference" in kept.state_reason


def test_a_damaged_current_version_does_not_hold_back_a_new_one(ctx):
    bring_stars(ctx)
    first = versions.find_version(ctx.engine, train(ctx, make_config()).version_key)
    card = ArtifactStore(ctx.settings.artifacts).path(first.artifact_sha256) / "card.md"
    card.write_text(card.read_text() + "x")
    result = train(ctx, make_config(params={"rounds": 60, "threads": 1}))
    assert result.promoted
    assert any("cannot predict the test examples" in reason for reason in result.reasons)


def test_attempts_at_once_end_as_one_version(ctx):
    bring_stars(ctx, 600)
    results = []
    threads = [threading.Thread(target=lambda: results.append(train(ctx, make_class_config()))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({result.version_key for result in results}) == 1
    assert len(versions.list_versions(ctx.engine, "test-class")) == len(history(ctx.engine, "test-class")) == 1


@pytest.mark.parametrize(
    ("n", "config", "said"),
    [
        (0, make_config(), "no current snapshot of features.labels, features.made; sync and build"),
        (0, load_config("photometric-teff-lamost"), "`make run PROFILE=real` in a home of its own"),
        (100, make_config(), "100 labelled examples"),
        (300, make_class_config(target={"name": "spectral_class", "kind": "class", "min_count": 200}), "0 class has"),
    ],
)
def test_too_little_data_is_a_result(ctx, n, config, said):
    if n:
        bring_stars(ctx, n)
    result = train(ctx, config)
    assert (result.outcome, result.version_key) == ("not_trainable", None)
    assert said in result.reasons[0]
    assert versions.list_versions(ctx.engine) == []


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (make_config(columns=["bp_rp", "colour"]), "gives no column colour"),
        (make_config(frame="select nothing from features"), "the SQL failed"),
        (
            make_config(frame="select f.*, 5000.0 as teff_k from features f join labels using (object_id)"),
            "stand in it more than once",
        ),
    ],
)
def test_a_wrong_frame_is_an_error_that_says_so(ctx, config, said):
    bring_stars(ctx, 300)
    with pytest.raises(InputError, match=said):
        train(ctx, config)


def test_rare_classes_are_merged_or_dropped_as_declared(ctx):
    bring_stars(ctx)
    target = {"name": "spectral_class", "kind": "class", "min_count": 250}
    dropped = versions.find_version(ctx.engine, train(ctx, make_class_config(target=target)).version_key)
    merged = train(ctx, make_class_config(target={**target, "rare": "F"}))
    folder = ArtifactStore(ctx.settings.artifacts).get(dropped.artifact_sha256)
    assert "G dropped: under 250 examples" in (folder / "card.md").read_text()
    second = versions.find_version(ctx.engine, merged.version_key)
    bundle = Bundle.load(ArtifactStore(ctx.settings.artifacts).get(second.artifact_sha256))
    assert bundle.classes == ("A", "F", "K", "M")
    assert second.training_rows == 1500 > dropped.training_rows


def test_versions_are_compared_on_the_examples_that_both_were_tested_on(ctx):
    bring_stars(ctx)
    good = train(ctx, make_class_config())
    bad = train(ctx, make_class_config(params={"rounds": 1, "learning_rate": 0.01, "max_depth": 1, "threads": 1}))
    chosen = [versions.find_version(ctx.engine, one.version_key) for one in (good, bad)]
    first, second = compare_versions(ArtifactStore(ctx.settings.artifacts), chosen, seed=0)
    assert first.examples == second.examples > 100
    assert first.figures["accuracy"].value == pytest.approx(good.metrics["accuracy"].value)
    assert second.minus_first["accuracy"].value == pytest.approx(
        second.figures["accuracy"].value - first.figures["accuracy"].value
    )
    assert second.minus_first["accuracy"].upper < 0
    other = versions.find_version(ctx.engine, train(ctx, make_config()).version_key)
    with pytest.raises(InputError, match="does not tell what"):
        compare_versions(ArtifactStore(ctx.settings.artifacts), [chosen[0], other], seed=0)
    # one that tells it beside its own target has no column of the first's
    with pytest.raises(InputError, match="does not tell what"):
        compare_versions(ArtifactStore(ctx.settings.artifacts), [other, chosen[0]], seed=0)


def test_versions_tested_by_folds_are_compared_by_the_folds_answers(ctx):
    bring_stars(ctx, 700)
    by_folds = {"split": {"order": 4, "folds": 3}}
    policy = [{"metric": "accuracy", "op": "not_worse_than_current"}]
    first = train(ctx, make_class_config(**by_folds, policy=policy))
    assert any("no version is current" in reason for reason in first.reasons)
    weak = {"rounds": 1, "learning_rate": 0.01, "max_depth": 1, "threads": 1}
    second = train(ctx, make_class_config(**by_folds, policy=policy, params=weak))
    assert not second.promoted
    assert any("on 700 examples" in reason and "failed" in reason for reason in second.reasons)
