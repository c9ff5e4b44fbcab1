"""What may be tuned: an option's name and the values that are tried, checked against its model.

Options of a model are named with dots (``network.width``). Settings are options as they stand in
a parameter file, nested.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from types import UnionType
from typing import Any, Self, TypeAlias, Union, get_args, get_origin

from pydantic import Field, StrictBool, StrictFloat, StrictInt, ValidationError, model_validator
from pydantic.fields import FieldInfo

from recsys_kedro.options import Options

Value: TypeAlias = StrictBool | StrictInt | StrictFloat | str | None
OF_A_CHOICE = {"choices"}
OF_A_RANGE = {"low", "high", "log"}


class Choices(Options):
    """One of a few values; their order means nothing."""

    choices: tuple[Value, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if len(set(self.choices)) < len(self.choices):
            msg = "a value is named twice"
            raise ValueError(msg)
        return self

    @property
    def extremes(self) -> tuple[Value, ...]:
        """The values that have to be valid so that all are."""
        return self.choices

    def holds(self, value: Any) -> bool:
        """Whether ``value`` can be drawn."""
        return value in self.choices


class Range(Options):
    """Any number from ``low`` to ``high``, both included; whole numbers for whole options."""

    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)
    log: bool = Field(False, description="draw evenly by order of magnitude")

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.low >= self.high:
            msg = f"low ({self.low:g}) has to be below high ({self.high:g})"
            raise ValueError(msg)
        if self.log and self.low <= 0:
            msg = f"low ({self.low:g}) has to be above 0 with log"
            raise ValueError(msg)
        return self

    @property
    def extremes(self) -> tuple[Value, ...]:
        """The values that have to be valid so that all are."""
        return (self.low, self.high)

    def holds(self, value: Any) -> bool:
        """Whether ``value`` can be drawn."""
        return isinstance(value, int | float) and self.low <= value <= self.high


class WholeRange(Range):
    """A range of a whole option."""


Dimension: TypeAlias = Choices | Range


def dimensions_of(
    kind: type[Options], space: Mapping[str, Any], where: str
) -> dict[str, Dimension]:
    """The dimensions of a search, by the dotted name of the option, sorted.

    Args:
        kind: the model's options class.
        space: nested like ``kind``; ``{choices: […]}`` or ``{low, high, log}`` in place of a
            value. What is None is not tuned.
        where: the place of ``space`` among the parameters, for errors.

    Raises:
        ValueError: an option that ``kind`` does not have, or values that it does not take.
    """
    return dict(sorted(_dimensions(kind, kind, space, where, ())))


def _dimensions(
    root: type[Options],
    kind: type[Options],
    space: Mapping[str, Any],
    where: str,
    path: tuple[str, ...],
) -> Iterator[tuple[str, Dimension]]:
    for name, entry in space.items():
        here = f"{where}.{name}"
        if name not in kind.model_fields:
            near = get_close_matches(name, kind.model_fields, 1, cutoff=0.5)
            known = f"did you mean '{near[0]}'?" if near else _one_of(kind.model_fields)
            msg = f"{here}: {kind.__name__} has no such option; {known}"
            raise ValueError(msg)
        if entry is None:
            continue
        field = kind.model_fields[name]
        inner = field.annotation
        if not isinstance(entry, Mapping):
            msg = f"{here}: {entry!r} is no space; give {{choices: […]}} or {{low: …, high: …}}"
            raise ValueError(msg)
        if isinstance(inner, type) and issubclass(inner, Options):
            yield from _dimensions(root, inner, entry, here, (*path, name))
        else:
            dotted = ".".join((*path, name))
            dimension = _dimension(field, entry, here)
            _check_values(root, dotted, dimension, here)
            yield dotted, dimension


def _dimension(field: FieldInfo, entry: Mapping[str, Any], where: str) -> Dimension:
    given = {key: value for key, value in entry.items() if value is not None}
    kinds = _kinds(field.annotation)
    try:
        if set(given) <= OF_A_CHOICE and given:
            return Choices.model_validate(given)
        if set(given) <= OF_A_RANGE and given and (int in kinds or float in kinds):
            return (Range if float in kinds else WholeRange).model_validate(given)
    except ValidationError as error:
        raise ValueError(f"{where}: {_first(error)}") from error
    if set(given) <= OF_A_RANGE and given:
        msg = f"{where}: not a number, so it takes {{choices: […]}} only"
    else:
        msg = (
            f"{where}: {dict(given)} is no space; give either {{choices: […]}} or "
            "{low: …, high: …, log: …}"
        )
    raise ValueError(msg)


def _kinds(annotation: Any) -> set[Any]:
    """The classes that a field takes, without None."""
    parts = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return set(parts) - {type(None)}


def _check_values(root: type[Options], dotted: str, dimension: Dimension, where: str) -> None:
    for value in dimension.extremes:
        try:
            root.model_validate(overlaid({}, {dotted: value}))
        except ValidationError as error:
            raise ValueError(f"{where}: {value!r} is not valid: {_first(error)}") from error


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place in OF_A_CHOICE | OF_A_RANGE else first["msg"]


def _one_of(names: Mapping[str, Any]) -> str:
    return f"it has {', '.join(sorted(names))}"


def overlaid(settings: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """``settings`` with other values, which are named with dots; nothing is changed in place.

    >>> overlaid({"a": 1, "b": {"c": 2, "d": 3}}, {"b.c": 4})
    {'a': 1, 'b': {'c': 4, 'd': 3}}
    """
    result = dict(settings)
    for dotted, value in values.items():
        name, _, rest = dotted.partition(".")
        result[name] = overlaid(result.get(name, {}), {rest: value}) if rest else value
    return result


def values_of(settings: Options, dimensions: Mapping[str, Dimension], where: str) -> dict[str, Any]:
    """What ``settings`` say of each dimension, so that a search can begin with them.

    Args:
        settings: all options, defaults included.
        dimensions: what is tuned.
        where: the place of ``settings`` among the parameters, for errors.

    Raises:
        ValueError: a value that the search could not draw.
    """
    plain, values = settings.model_dump(mode="json"), {}
    for dotted, dimension in dimensions.items():
        value: Any = plain
        for name in dotted.split("."):
            value = value[name]
        if not dimension.holds(value):
            allowed = dimension.model_dump(mode="json", exclude_defaults=True)
            msg = (
                f"{where}: {dotted} is {value!r}, which is not in its tuning.space ({allowed}). "
                "The search begins with these settings: widen the space, or change them."
            )
            raise ValueError(msg)
        values[dotted] = value
    return values
