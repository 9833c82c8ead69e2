"""Convert pydantic's validation errors to one `InputError`."""

import difflib

from pydantic import BaseModel, ValidationError

from spdclust.core.errors import InputError


def first_error(model: type[BaseModel], error: ValidationError) -> InputError:
    """Return the first error, with the field, the value found and the values allowed.

    Example:
        >>> from pydantic import create_model
        >>> Sides = create_model("Sides", n=(int, ...))
        >>> try:
        ...     Sides(n="many")
        ... except ValidationError as error:
        ...     print(first_error(Sides, error))
        n: not allowed (found: many; allowed: a valid integer, unable to parse string as an integer)
    """
    # a misspelt key often causes other errors, so report it first
    errors = sorted(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    first = errors[0]
    location = [part for part in first["loc"] if not _is_union_tag(part)]
    name = ".".join(str(part) for part in location)
    if first["type"] == "extra_forbidden":
        known = _known_keys(model, location[:-1])
        close = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        return InputError("unknown key", field=name, allowed=close[0] if close else ", ".join(known))
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return InputError(message, field=name or None)
    if first["type"] == "missing":
        return InputError("missing", field=name, allowed=_meaning(model, location))
    found = first["input"]
    return InputError(
        "not allowed",
        field=name,
        found=found if not isinstance(found, dict) else "a mapping",
        allowed=message.replace("Input should be ", ""),
    )


def _is_union_tag(part: int | str) -> bool:
    return isinstance(part, str) and (part in ("str", "int", "float", "bool") or part.startswith("list["))


def _meaning(model: type[BaseModel], location: list[int | str]) -> str:
    """Return the description of a key in its section."""
    section = _section_at(model, location[:-1])
    field = section.model_fields.get(str(location[-1])) if section is not None else None
    said = " ".join((field.description or "").split()) if field is not None else ""
    return (said[:1].lower() + said[1:]).removesuffix(".") or "a value"


def _known_keys(model: type[BaseModel], location: list[int | str]) -> list[str]:
    section = _section_at(model, location)
    return [] if section is None else list(section.model_fields)


def _section_at(model: type[BaseModel], location: list[int | str]) -> type[BaseModel] | None:
    for part in location:
        annotation = model.model_fields[str(part)].annotation if str(part) in model.model_fields else None
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        nested = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not nested:
            return None
        model = nested[0]
    return model
