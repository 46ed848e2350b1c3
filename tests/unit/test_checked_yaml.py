from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from stellar.checked_yaml import load_yaml
from stellar.errors import InputError


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    rounds: int = 1


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    params: Inner = Inner()
    parts: list[Inner] = []


def write(folder: Path, text: str) -> Path:
    path = folder / "a.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("name: a\nparams:\n  round: 3\n", 3, "params.round: there is no such key; did you mean `rounds`?"),
        ("name: a\nparams:\n  rounds: many\n", 3, "given: 'many'"),
        ("params: {rounds: 2}\n", 1, "name: this key is missing; add it"),
        ("name: a\nparts:\n  - rounds: 1\n  - rounds: x\n", 4, "parts.1.rounds"),
        ("name: a\nname: b\n", 2, "`name` is given twice"),
        ("name: a\nparams:\n  rounds: 1\n  rounds: 2\n", 4, "`rounds` is given twice"),
        ("name: [a\n", 2, "not valid YAML"),
        ("- a\n", 1, "must be a mapping"),
        ("", 1, "must be a mapping"),
        ("name: a\nzzz: 1\n", 2, "use one of: name, params, parts"),
    ],
)
def test_each_fault_names_line_key_and_remedy(tmp_path, text, line, said):
    path = write(tmp_path, text)
    with pytest.raises(InputError) as fault:
        load_yaml(path, Outer)
    assert f"{path}:{line}:" in str(fault.value)
    assert said in str(fault.value)


def test_several_faults_are_all_named(tmp_path):
    with pytest.raises(InputError) as fault:
        load_yaml(write(tmp_path, "name: 3\nparams: {rounds: x}\n"), Outer)
    assert len(str(fault.value).splitlines()) == 2


def test_profile_lays_its_section_over_the_rest(tmp_path):
    path = write(tmp_path, "name: a\nparams: {rounds: 5}\nprofiles:\n  tiny:\n    params: {rounds: 2}\n")
    assert load_yaml(path, Outer).params.rounds == 5
    assert load_yaml(path, Outer, profile="tiny").params.rounds == 2
    assert load_yaml(path, Outer, profile="other").params.rounds == 5


def test_fault_in_a_profile_names_the_line_in_the_profile(tmp_path):
    path = write(tmp_path, "name: a\nparams: {rounds: 5}\nprofiles:\n  tiny:\n    params: {rounds: few}\n")
    with pytest.raises(InputError, match=r":5: params\.rounds"):
        load_yaml(path, Outer, profile="tiny")


def test_a_missing_file_suggests_its_neighbour(tmp_path):
    (tmp_path / "spectral-class.yaml").write_text("name: a\n")
    with pytest.raises(InputError, match="did you mean spectral-class"):
        load_yaml(tmp_path / "spectral-clas.yaml", Outer)
