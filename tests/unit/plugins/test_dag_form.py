"""The form that is made of a DAG's params, in a browser."""

import pytest

PARAMS = {
    "ra_deg": {
        "value": None,
        "schema": {"type": ["null", "number"], "minimum": 0, "maximum": 360},
        "description": "RA",
    },
    "row_cap": {"value": None, "schema": {"type": ["null", "integer"], "minimum": 1}},
    "count": {"value": 3, "schema": {"type": "integer", "exclusiveMinimum": 0}},
    "cells": {"value": None, "schema": {"type": ["null", "array"], "items": {"type": "string"}}},
    "limits": {"value": [1, 2.5], "schema": {"type": "array", "items": {"type": "number"}}},
    "dry_run": {"value": False, "schema": {"type": "boolean", "title": "Dry run"}},
    "maybe": {"value": None, "schema": {"type": ["null", "boolean"]}},
    "release": {"value": "dr3", "schema": {"type": "string", "enum": ["dr2", "dr3"], "values_display": {"dr3": "DR3"}}},
    "level": {"value": 2, "schema": {"enum": [None, 1, 2]}},
    "name": {"value": None, "schema": {"type": ["null", "string"], "examples": ["a", "b"]}},
    "several": {"value": ["a"], "schema": {"type": "array", "examples": ["a", "b"], "section": "More"}},
    "day": {"value": None, "schema": {"type": ["null", "string"], "format": "date"}},
    "at": {"value": "2026-01-02T03:04:00Z", "schema": {"type": "string", "format": "date-time"}},
    "extra": {"value": {"a": 1}, "schema": {"type": "object"}},
    "plain": {"value": "x", "schema": {}},
    "fixed": {"value": 7, "schema": {"const": 7}},
}


@pytest.fixture
def form(page):
    page.evaluate(
        "params => { window.form = dagForm(params, {values: {row_cap: 5}}); main.replaceChildren(form.element); }",
        PARAMS,
    )
    return page


def test_defaults_come_back_as_they_are(form):
    conf = form.evaluate("form.conf()")
    assert conf == {name: param["value"] for name, param in PARAMS.items()} | {
        "row_cap": 5,
        "at": "2026-01-02T03:04:00Z",
    }
    assert form.locator("legend").inner_text() == "More" and form.locator("option", has_text="DR3").count() == 1


def test_what_is_entered_has_its_type(form):
    for name, text in {"ra_deg": "12.5", "cells": " 5/1 \n\n5/2", "limits": "3\n4.5", "extra": '{"b": [2]}'}.items():
        form.fill(f"[name={name}]", text)
    form.fill("[name=day]", "2026-03-04")
    form.fill("[name=row_cap]", "")
    form.fill("[name=name]", "other")
    form.check("[name=dry_run]")
    form.select_option("[name=maybe]", "true")
    form.select_option("[name=level]", index=0)
    form.select_option("[name=several]", ['"a"', '"b"'])
    conf = form.evaluate("form.conf()")
    assert conf["ra_deg"] == 12.5 and conf["cells"] == ["5/1", "5/2"] and conf["limits"] == [3, 4.5]
    assert conf["extra"] == {"b": [2]} and conf["day"] == "2026-03-04" and conf["row_cap"] is None
    assert conf["name"] == "other" and conf["dry_run"] is True and conf["maybe"] is True
    assert conf["level"] is None and conf["several"] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [("ra_deg", "400", "360"), ("count", "", "fill"), ("extra", "{", "no JSON"), ("limits", "x", "one number per line"),
     ("row_cap", "1.5", "value")],
)  # fmt: skip
def test_what_is_no_value_is_said_at_its_field(form, name, text, said):
    form.fill(f"[name={name}]", text)
    assert form.evaluate("form.conf()") is None
    assert form.locator("[aria-invalid=true]").get_attribute("name") == name
    assert said in form.locator(".fault:not([hidden])").inner_text()


def test_values_may_be_set_from_outside(form):
    form.evaluate(
        "form.set('ra_deg', 7.25); form.set('cells', ['3/4']); form.set('dry_run', true); form.set('absent', 1)"
    )
    conf = form.evaluate("form.conf()")
    assert (conf["ra_deg"], conf["cells"], conf["dry_run"]) == (7.25, ["3/4"], True)
    assert form.evaluate("[form.has('cells'), form.has('absent')]") == [True, False]


def test_the_words_of_airflow_are_shown_at_the_field_that_they_name(form):
    from airflow.sdk import Param
    from airflow.sdk.definitions.param import ParamsDict
    from airflow.sdk.exceptions import ParamValidationError

    with pytest.raises(ParamValidationError) as refused:
        ParamsDict({"ra_deg": Param(400, type="number", maximum=360)}).validate()
    assert form.evaluate("detail => form.showError(detail)", str(refused.value)) is True
    assert form.locator("[aria-invalid=true]").get_attribute("name") == "ra_deg"
    assert "400 is greater than the maximum of 360" in form.locator(".fault:not([hidden])").inner_text()
    assert form.evaluate("form.showError('Dag with dag_id: sync_x not found')") is False
