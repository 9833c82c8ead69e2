"""What every configuration section shares: frozen, no unknown keys, real numbers, errors in one line."""

import contextlib
import difflib
import types
import typing
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, field_validator
from pydantic.fields import FieldInfo

from spdclust.core.errors import InputError
from spdclust.core.safe_reading import path_as_text

LARGEST = 2**53 - 1
"""The largest integer that every JSON reader returns unchanged."""


def _no_truth_value(value: Any) -> Any:
    """Return the value unless it is a boolean.

    Raises:
        ValueError: the value is true or false, which Python treats as 1 and 0.
    """
    if isinstance(value, bool):
        raise ValueError(f"found {str(value).lower()} (allowed: a number)")
    return value


Number = Annotated[float, BeforeValidator(_no_truth_value)]
"""A number inside a list or a mapping; `Section` checks those that are settings themselves."""


PathText = Annotated[str, BeforeValidator(path_as_text)]
"""A path or name as text; `pathlib.Path` is accepted."""


class Section(BaseModel):
    """A part of the configuration: immutable; unknown keys are rejected, and truth values for numbers.

    Example:
        >>> class Sides(Section):
        ...     n: int
        >>> Sides(n=True)
        Traceback (most recent call last):
        ...
        spdclust.InputError: n: found true (allowed: a number)

    Raises:
        InputError: the first setting that is wrong; in place of pydantic's `ValidationError`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    if not TYPE_CHECKING:  # type checkers use pydantic's own signatures

        def __init__(self, /, **values: Any) -> None:
            with _one_error(type(self)):
                super().__init__(**values)

        # nested sections are validated without this call, so errors give the full path
        __init__.__pydantic_base_init__ = True

        @classmethod
        def model_validate(cls, obj: Any, **options: Any) -> Any:
            """As in pydantic; raises `InputError`."""
            with _one_error(cls):
                return super().model_validate(obj, **options)

        @classmethod
        def model_validate_json(cls, json_data: Any, **options: Any) -> Any:
            """As in pydantic; raises `InputError`."""
            with _one_error(cls):
                return super().model_validate_json(json_data, **options)

    @field_validator("*", mode="before")
    @classmethod
    def _check_numbers(cls, value: Any, info: Any) -> Any:
        if not isinstance(value, int):
            return value
        kinds = _kinds(cls.model_fields[str(info.field_name)].annotation)
        if bool not in kinds and (int in kinds or float in kinds):
            _no_truth_value(value)
        if int in kinds and abs(value) > LARGEST:
            raise ValueError(f"found {value} (allowed: at most {LARGEST})")
        return value


@contextlib.contextmanager
def _one_error(model: type[BaseModel]) -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        raise _first_error(model, error) from error


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """Return the allowed types of a setting: the members of its union, or its only type."""
    is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return typing.get_args(annotation) if is_union else (annotation,)


def _first_error(model: type[BaseModel], error: ValidationError) -> InputError:
    """Return the first error, with the field, the value found and the values allowed."""
    # a misspelt key often causes other errors, so report it first
    errors = sorted(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    first = errors[0]
    location = [part for part in first["loc"] if not _is_union_tag(part)]
    name = ".".join(str(part) for part in location)
    fields = _fields_at(model, location[:-1])
    field = fields.get(str(location[-1])) if location else None
    if first["type"] == "extra_forbidden":
        known = list(fields)
        close = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        return InputError("unknown key", field=name, allowed=close[0] if close else ", ".join(known))
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return InputError(message, field=name or None)
    if first["type"] == "missing":
        return InputError("missing", field=name, allowed=_meaning(field))
    found = first["input"]
    allowed = _allowed_kind(first)
    if allowed is None:
        allowed = message.replace("Input should be ", "")
    elif found is not None and field is not None and type(None) in _kinds(field.annotation):
        allowed += ", or null"
    return InputError(
        "not allowed",
        field=name,
        found="null" if found is None else "a mapping" if isinstance(found, dict) else found,
        allowed=allowed,
    )


_KINDS = {
    "int": "an integer",
    "float": "a number",
    "string": "a text",
    "bool": "true or false",
    "list": "a list",
    "dict": "a mapping",
    "model": "a mapping of settings",
}


def _allowed_kind(error: Any) -> str | None:
    """Return what kind of value a setting has, if the error is that the value is of another kind."""
    if error["type"] == "too_short":
        return f"at least {error['ctx']['min_length']} in the list"
    kind, _, problem = error["type"].partition("_")
    return _KINDS.get(kind) if problem in ("type", "parsing", "from_float") else None


def _is_union_tag(part: int | str) -> bool:
    return isinstance(part, str) and (part in ("str", "int", "float", "bool") or part.startswith("list["))


def _meaning(field: FieldInfo | None) -> str:
    """Return the description of a setting."""
    description = " ".join((field.description or "").split()) if field is not None else ""
    return (description[:1].lower() + description[1:]).removesuffix(".") or "a value"


def _fields_at(model: type[BaseModel], location: list[int | str]) -> dict[str, FieldInfo]:
    """Return the settings of a nested section, none if there is no section at this location."""
    fields: dict[str, FieldInfo] = model.model_fields
    for part in location:
        annotation = fields[str(part)].annotation if str(part) in fields else None
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        nested = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        fields = nested[0].model_fields if nested else {}
    return fields
