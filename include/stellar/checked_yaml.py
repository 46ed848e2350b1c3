"""YAML files checked against a pydantic model; a wrong key or type is named with its file, its line and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from stellar.errors import InputError

M = TypeVar("M", bound=BaseModel)


class Section(BaseModel):
    """A mapping of a YAML file that knows its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class KeyFaultError(ValueError):
    """What a validator of a whole section raises when one key below it is wrong: the message gets that key's line.

    Parameters
    ----------
    message
        What is wrong; what to do.
    *at
        Keys and places in lists that lead to the fault, from the section of the validator down.
    """

    def __init__(self, message: str, *at: str | int) -> None:
        super().__init__(message)
        self.at = at


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML keeps the last of two equal keys in silence; here the second is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"`{key}` is given twice; keep one", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def load_yaml(path: Path, model: type[M], *, profile: str | None = None) -> M:
    """Read `path` and check it against `model`.

    Parameters
    ----------
    profile
        The file may hold a section `profiles` of overrides by profile; this one's are laid over the rest, mapping by
        mapping, before the check. The section itself is not part of `model`.

    Raises
    ------
    InputError
        With one line per fault: `file:line: key: what is wrong; what to do`.
    """
    root = _mapping(path)
    overrides = _value(root, "profiles")
    names = [key.value for key, _ in overrides.value] if isinstance(overrides, yaml.MappingNode) else []
    # a fault in another profile's overrides would else be found by whoever uses that profile
    others = {name: None for name in names if name != profile}
    chosen, *_ = [_checked(path, _laid_over(root, name), model) for name in (profile, *others)]
    return chosen


def _checked(path: Path, root: yaml.Node, model: type[M]) -> M:
    try:
        return model.model_validate(_UniqueKeyLoader("").construct_document(root))
    except ValidationError as faults:
        lines = [_fault_line(path, root, fault, model) for fault in faults.errors(include_url=False)]
        raise InputError("\n".join(lines)) from None


def line_of(path: Path, location: Sequence[str | int], *, profile: str | None = None) -> int:
    """Line (from 1) of a key of a file that `load_yaml` took, or of the deepest key above it that is there.

    Parameters
    ----------
    location
        Keys and places in lists from the file's top.
    profile
        As for `load_yaml`: a key that the profile lays over stands where the profile says it.
    """
    return _line_of(_laid_over(_mapping(path), profile), tuple(location))


def _mapping(path: Path) -> yaml.MappingNode:
    root = _parse(path)
    if not isinstance(root, yaml.MappingNode):
        raise InputError(f"{path}:1: the file must be a mapping of keys to values")
    return root


def _laid_over(root: yaml.MappingNode, profile: str | None) -> yaml.Node:
    """The file without its section `profiles`, with the overrides of one of them."""
    overrides = _value(root, "profiles")
    pairs = [(key, value) for key, value in root.value if key.value != "profiles"]
    plain = yaml.MappingNode(root.tag, pairs, root.start_mark, root.end_mark)
    chosen = _value(overrides, profile) if profile else None
    return plain if chosen is None else _merge(plain, chosen)


def _parse(path: Path) -> yaml.Node | None:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = difflib.get_close_matches(path.stem, sorted(p.stem for p in path.parent.glob("*.yaml")), n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise InputError(f"{path}: there is no such file{hint}") from None
    except UnicodeDecodeError as fault:
        raise InputError(f"{path}: not UTF-8 text at byte {fault.start}; save it as UTF-8") from None
    try:
        _UniqueKeyLoader(text).get_single_data()  # duplicate keys at every depth, with their lines
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as fault:
        line = fault.problem_mark.line + 1 if fault.problem_mark else 1
        raise InputError(f"{path}:{line}: this is not valid YAML: {fault.problem}") from None


def _value(node: yaml.Node | None, key: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for name, value in pairs if name.value == key), None)


def _merge(base: yaml.Node, over: yaml.Node) -> yaml.Node:
    """`over` laid on `base`, on the parsed nodes, so that every value keeps the line that it was written on."""
    if not (isinstance(base, yaml.MappingNode) and isinstance(over, yaml.MappingNode)):
        return over
    pairs = {key.value: (key, value) for key, value in base.value}
    for key, value in over.value:
        below = pairs.get(key.value)
        pairs[key.value] = (key, _merge(below[1], value) if below else value)
    return yaml.MappingNode(base.tag, list(pairs.values()), base.start_mark, base.end_mark)


def _fault_line(path: Path, root: yaml.Node | None, fault: Any, model: type[BaseModel]) -> str:
    location = tuple(part for part in fault["loc"] if not _is_tag(part))
    if isinstance(error := fault.get("ctx", {}).get("error"), KeyFaultError):
        location += error.at
    key = ".".join(str(part) for part in location) or "(file)"
    line = _line_of(root, location)
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        known = _known_keys(model, location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        remedy = f"did you mean `{near[0]}`?" if near else f"remove it, or use one of: {', '.join(known)}"
        return f"{path}:{line}: {key}: there is no such key; {remedy}"
    if fault["type"] == "missing":
        return f"{path}:{line}: {key}: this key is missing; add it"
    given = None if isinstance(error, KeyFaultError) else fault.get("input")
    shown = "" if isinstance(given, dict | list | BaseModel) or given is None else f" (given: {given!r})"
    return f"{path}:{line}: {key}: {message}{shown}"


def _is_tag(part: Any) -> bool:
    """Pydantic puts the name of a union's branch into the location; a file has no such key."""
    return isinstance(part, str) and (part.startswith("function-") or "[" in part)


def _line_of(root: yaml.Node | None, location: tuple[Any, ...]) -> int:
    """Line (from 1) of the deepest node on `location` that the file has."""
    node, line = root, 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _known_keys(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """Keys that the (nested) model at `location` has; lists are stepped through."""
    current: Any = model
    for part in location:
        if isinstance(part, int):
            continue
        field = current.model_fields.get(part)
        nested = [a for a in _type_leaves(field.annotation if field else None) if hasattr(a, "model_fields")]
        if not nested:
            return []
        current = nested[0]
    return sorted(field.alias or name for name, field in current.model_fields.items())


def _type_leaves(annotation: Any) -> list[Any]:
    arguments = getattr(annotation, "__args__", ())
    return [leaf for argument in arguments for leaf in _type_leaves(argument)] if arguments else [annotation]
