"""Conditions of a WHERE, taken apart: which must all be true, and which of them asks for a region."""

from __future__ import annotations

from typing import Any

from queryparser.adql.ADQLParser import ADQLParser

from .expressions import sole


def conjuncts(node: Any) -> list[Any]:
    """The conditions that must all be true, as parts of the tree."""
    if isinstance(node, ADQLParser.Search_conditionContext) and node.OR() is None:
        return conjuncts(node.boolean_term())
    if isinstance(node, ADQLParser.Boolean_termContext):
        before = conjuncts(node.boolean_term()) if node.boolean_term() is not None else []
        return [*before, *conjuncts(node.boolean_factor())]
    if isinstance(node, ADQLParser.Boolean_factorContext) and node.NOT() is None:
        inner = node.boolean_primary().search_condition()
        return conjuncts(inner) if inner is not None else [node]
    return [node]


def asked_contains(factor: Any) -> Any:
    """The CONTAINS of a condition `1 = CONTAINS(…)` or `CONTAINS(…) = 1`; None of any other."""
    found = sole(factor, ADQLParser.Contains_predicateContext)
    if found is not None:
        return found.contains() if found.INT().getText() == "1" else None
    compared = sole(factor, ADQLParser.Comparison_predicateContext)
    if compared is None or compared.comp_op().EQ() is None:
        return None
    sides = list(compared.value_expression())
    for one, other in (sides, sides[::-1]):
        if (asked := sole(one, ADQLParser.ContainsContext)) is not None and other.getText() == "1":
            return asked
    return None
