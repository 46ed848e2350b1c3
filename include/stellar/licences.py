"""Under which terms data are that a model was trained on or a dataset is made of, by the batches that brought them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stellar.checked_yaml import load_yaml
from stellar.settings import CONFIG

TABLE = CONFIG / "licences.yaml"
FILE = "LICENSE.md"


class Terms(BaseModel):
    """What a publisher of data asks for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    licence: str
    url: str = Field(pattern=r"^https://")
    credit: str
    cite: list[str]


class Licences(BaseModel):
    """The table: terms, and which of them each source of batches is under."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    terms: dict[str, Terms]
    sources: dict[str, list[str]]

    @model_validator(mode="after")
    def _named_terms(self) -> Licences:
        unknown = sorted({name for names in self.sources.values() for name in names} - set(self.terms))
        if unknown:
            raise ValueError(f"no `terms` of {', '.join(unknown)}; add them")
        return self

    def of(self, sources: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Terms], list[str]]:
        """Terms of some batches, by name, and the sources that the table does not know.

        Parameters
        ----------
        sources : iterable of mapping
            Each with ``survey`` and ``dataset`` (``raw.<name>``).
        """
        found: dict[str, Terms] = {}
        unknown: list[str] = []
        for one in sources:
            dataset = f"{one['survey']}/{str(one['dataset']).partition('.')[2]}"
            names = self.sources.get(dataset, self.sources.get(str(one["survey"]), []))
            if not names:
                unknown.append(dataset)
            found |= {name: self.terms[name] for name in names}
        return found, sorted(set(unknown))


def load_licences() -> Licences:
    """The table that the platform comes with."""
    return load_yaml(TABLE, Licences)


def licence_text(sources: Iterable[Mapping[str, Any]], own: str) -> str:
    """Markdown of the terms: first those of the publisher, `own`, then those of the data.

    `sources` are as `stellar.ledger.lineage.sources_of` gives them.
    """
    given = list(sources)
    terms, unknown = load_licences().of(given)
    lines = ["# Licence", "", own, "", "## Data", ""]
    if any(one.get("simulated") for one in given):
        lines += [
            "Some or all of the rows were simulated by the platform's embedded archive, which speaks the protocols of "
            "the surveys named below; they are no measurements of theirs.",
            "",
        ]
    for one in terms.values():
        lines += [f"### {one.title}", "", f"{one.licence.strip()}: <{one.url}>", "", one.credit.strip(), ""]
        lines += [f"- {paper}" for paper in one.cite]
        lines += [""] if one.cite else []
    if unknown:
        lines += [f"Of other sources ({', '.join(unknown)}) no terms are on record: ask whoever brought them.", ""]
    if not given:
        lines += ["No batch of a survey is on record.", ""]
    return "\n".join(lines).rstrip() + "\n"
