"""The model card of an exported folder: the platform's own card under the metadata that the Hub reads.

Metadata: https://huggingface.co/docs/hub/model-cards (`model-index` as Papers with Code had it).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from stellar.licences import FILE as LICENCE_FILE
from stellar.licences import load_licences
from stellar.registry.bundle import Bundle
from stellar.registry.description import task_of

# Figures of the test part that the Hub shows, by the name that it knows them by; others keep ours.
OWN_NAMES = ("accuracy", "mae", "rmse", "ece", "crps", "subtype_mae", "interval_coverage", "set_coverage")
SHOWN = {**{name: name for name in OWN_NAMES}, "macro_f1": "f1"}
OTHER = "other"  # licence of the Hub for one that it does not list
PLAIN = {"features": "a table of features", "curated": "a curated table"}


def front_matter(about: Mapping[str, Any]) -> str:
    """Metadata between the two lines of a card's head."""
    return f"---\n{yaml.safe_dump(dict(about), sort_keys=False, allow_unicode=True, width=100)}---\n"


def licence_metadata(licence: str) -> dict[str, str]:
    """Fields of the licence; one that is not chosen is `other`, with the link to the terms of the data."""
    if licence != OTHER:
        return {"license": licence}
    return {"license": OTHER, "license_name": "terms-of-the-surveys", "license_link": LICENCE_FILE}


def model_card(
    bundle: Bundle,
    config: Mapping[str, Any],
    metrics: Mapping[str, Any],
    card: str,
    *,
    licence: str,
    datasets: Sequence[str],
    sources: Sequence[Mapping[str, Any]],
    plots: Sequence[str],
) -> str:
    """`README.md` of an exported folder.

    Parameters
    ----------
    config : mapping
        The content of `config.json`.
    metrics : mapping
        The content of `metrics.json`.
    card : str
        The platform's card of the version.
    licence : str
        Identifier of the Hub, or `other`.
    datasets : sequence of str
        Repositories of the Hub with the data; the platform's name of the dataset where none is given.
    sources : sequence of mapping
        As `stellar.ledger.lineage.sources_of` gives them.
    plots : sequence of str
        Files of the bundle that the card shows.
    """
    shown = {name: SHOWN[name] for name in metrics["figures"] if name in SHOWN}
    about: dict[str, Any] = {
        **licence_metadata(licence),
        "library_name": config["library_name"],
        "pipeline_tag": task_of(bundle),
        "tags": _tags(bundle, config),
        "datasets": list(datasets) or [config["features_dataset"]],
        "metrics": sorted(set(shown.values())),
        "model-index": [_results(bundle, config, metrics["figures"], shown, datasets)],
    }
    return front_matter(about) + "\n" + _body(bundle, config, card, sources, plots)


def _tags(bundle: Bundle, config: Mapping[str, Any]) -> list[str]:
    tags = ["astronomy", "stars", "conformal-prediction", "uncertainty", config["architecture"].replace("_", "-")]
    tags += ["onnx"] if config["onnx"].get("file") else []
    return [*tags, *(["xgboost"] if "xgboost-cpu" in bundle.model.libraries else [])]


def _results(
    bundle: Bundle, config: Mapping[str, Any], figures: Mapping[str, Any], shown: Mapping[str, str],
    datasets: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    name = datasets[0] if datasets else config["features_dataset"]
    return {
        "name": config["model"],
        "results": [
            {
                "task": {"type": task_of(bundle), "name": bundle.meaning.target},
                "dataset": {"type": name, "name": f"{config['features_dataset']} (test part)", "split": "test"},
                "metrics": [
                    {"type": kind, "name": own, "value": figures[own]["value"]}
                    for own, kind in shown.items()
                    if figures[own]["value"] is not None
                ],
            }
        ],
    }


def _body(
    bundle: Bundle, config: Mapping[str, Any], card: str, sources: Sequence[Mapping[str, Any]], plots: Sequence[str]
) -> str:
    pattern = re.compile(r"\]\((" + "|".join(re.escape(name) for name in plots) + r")\)") if plots else None
    text = pattern.sub(r"](bundle/\1)", card) if pattern else card
    return "\n".join([text.rstrip(), "", _use(bundle, config), "", _files(config), "", _attribution(sources), ""])


def _use(bundle: Bundle, config: Mapping[str, Any]) -> str:
    meaning = bundle.meaning
    room = meaning.features.partition(".")[0]
    wanted = ", ".join(f"`{name}`" for name in config["watched"])
    lines = [
        "## Intended use",
        "",
        f"To predict `{'`, `'.join([meaning.target, *meaning.further])}` of single stars from "
        f"{PLAIN.get(room, 'a table')} as the Stellar Platform makes it (`{meaning.features}`), with calibrated "
        "uncertainties, for catalogues and population studies. Not for decisions about single objects without a look "
        "at `is_out_of_range`, and not for "
        "objects of other kinds, surveys or magnitudes than those of the examples: see Limits.",
        "",
        "## How to use",
        "",
        "```sh",
        "stellar predict DIR table.parquet --out predictions.parquet   # no home, no database is needed",
        "stellar models import DIR                                     # as a candidate version of a home",
        "```",
        "",
        f"The table has the columns that `config.json` lists under `features`{f', and {wanted}' if wanted else ''}; "
        "missing values are nulls. Units are in `config.json`.",
    ]
    if config["onnx"].get("file"):
        lines += [
            "",
            "`model.onnx` gives the same numbers to 1e-4 in any ONNX runtime. It reads the model's prepared columns, "
            "`features` of `config.json` in their order, as float32 with NaN for what is missing; it does not tell "
            "`is_out_of_range`, `flags` or prediction sets.",
            "",
            "```python",
            "import numpy, onnxruntime",
            "",
            'session = onnxruntime.InferenceSession("model.onnx")',
            f'rows = numpy.full((1, {len(meaning.columns)}), numpy.nan, dtype=numpy.float32)',
            'outputs = dict(zip([one.name for one in session.get_outputs()], session.run(None, {"features": rows})))',
            "```",
        ]  # fmt: skip
    else:
        lines += ["", f"There is no `model.onnx`: {config['onnx']['why_not']}."]
    return "\n".join(lines)


def _files(config: Mapping[str, Any]) -> str:
    rows = [
        ("`config.json`", "inputs and outputs with types and units, classes, alpha"),
        ("`features.json`", "the inputs in order, with the range of the training examples"),
        ("`metrics.json`", "all figures of the test part"),
        ("`bundle/`", "the version as the platform keeps it: model, calibration, conformal margins, ranges, card, "
         "plots, examples with their parts and test predictions"),
        ("`boosters/`", "boosters of the bundle in XGBoost's JSON, where there are any"),
        ("`registry.json`", "figures and origin for the registry of another home"),
        ("`MANIFEST.json`", "size and SHA-256 of each file, keys and versions; checked on import"),
        (f"`{LICENCE_FILE}`", "terms of the data"),
    ]  # fmt: skip
    if config["onnx"].get("file"):
        rows.insert(3, ("`model.onnx`", "the model with calibration and intervals as one graph"))
    return "\n".join(["## Files", "", "| file | what |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)])


def _attribution(sources: Sequence[Mapping[str, Any]]) -> str:
    terms, unknown = load_licences().of(sources)
    lines = ["## Licence and attribution of the data", ""]
    if any(one.get("simulated") for one in sources):
        lines += ["**Trained on simulated data** of the platform's embedded archive, not on measurements.", ""]
    for one in terms.values():
        cited = f" Cite {'; '.join(one.cite)}." if one.cite else ""
        lines.append(f"- {one.title}: {one.licence.strip()} (<{one.url}>).{cited}")
    if unknown:
        lines.append(f"- Of other sources ({', '.join(unknown)}) no terms are on record.")
    if not sources:
        lines.append("No batch of a survey is on record.")
    return "\n".join([*lines, "", f"Whole texts: [{LICENCE_FILE}]({LICENCE_FILE})."])
