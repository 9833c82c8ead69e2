"""The error type for invalid input: what is wrong, where, what was found and what is allowed.

Example:
    >>> print(InputError("unknown key", file="run.yaml", field="alpah", allowed="alpha"))
    run.yaml: alpah: unknown key (allowed: alpha)
"""

import contextlib
import reprlib
from collections.abc import Iterator
from pathlib import Path

_LONGEST_LINE = 1500
_BRIEF = reprlib.Repr()  # aliases in a file can expand without limit
_BRIEF.maxlist = _BRIEF.maxdict = _BRIEF.maxtuple = 40
_BRIEF.maxstring = _BRIEF.maxother = _BRIEF.maxlong = 400
_BRIEF.maxlevel = 3


class InputError(ValueError):
    """Invalid input, reported in one line with the file, the field, the value found and the values allowed.

    Args:
        problem: short description of the error.
        file: the file that contains the error.
        field: the key, member or argument inside that file.
        found: the invalid value.
        allowed: the allowed values, or what to do next.
    """

    __module__ = "spdclust"  # show the import name of users in tracebacks

    def __init__(
        self,
        problem: str,
        *,
        file: str | Path | None = None,
        field: str | None = None,
        found: object = None,
        allowed: str | None = None,
    ) -> None:
        self.problem = problem
        self.file = None if file is None else str(file)
        self.field = field
        self.found = found
        self.allowed = allowed
        super().__init__(self._line())

    def __reduce__(self) -> tuple[object, ...]:
        """Preserve the keyword arguments when a worker process returns the error."""
        return (_rebuild, (self.problem, self.file, self.field, self.found, self.allowed))

    def _line(self) -> str:
        where = ": ".join(part for part in (self.file, self.field) if part)
        details = []
        if self.found is not None:
            details.append(f"found: {_short(self.found)}")
        if self.allowed is not None:
            details.append(f"allowed: {self.allowed}")
        line = f"{where}: {self.problem}" if where else self.problem
        if details:
            line += f" ({'; '.join(details)})"
        text = printable(" ".join(line.split()))  # values from files may be of any length
        return text if len(text) <= _LONGEST_LINE else text[: _LONGEST_LINE - 1] + "…"

    def located(self, *, file: str | Path | None) -> "InputError":
        """Return the same error with a missing file filled in.

        Example:
            >>> print(InputError("no component is alive").located(file="batch_0.pt"))
            batch_0.pt: no component is alive
        """
        return _rebuild(
            self.problem,
            self.file if self.file is not None else (None if file is None else str(file)),
            self.field,
            self.found,
            self.allowed,
        )

    def of_setting(self, setting: str) -> "InputError":
        """Return the error of a file that a setting names, with the setting before the file.

        Example:
            >>> error = InputError("no such file", file="nowhere", field="model_path")
            >>> print(error.of_setting("model_path").located(file="run.yaml"))
            run.yaml: model_path: nowhere: no such file
        """
        inner = [self.file, None if self.field == setting else self.field]
        field = ": ".join([setting, *(part for part in inner if part)])
        return _rebuild(self.problem, None, field, self.found, self.allowed)


def printable(text: str) -> str:
    r"""Return a text that came from a file without terminal escape codes.

    Example:
        >>> print(printable("a\x1b[31m"))
        a\x1b[31m
    """
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


@contextlib.contextmanager
def in_file(file: str | Path | None) -> Iterator[None]:
    """Name the file in errors that name none.

    Example:
        >>> with in_file("run_0"):
        ...     raise InputError("no component is alive")
        Traceback (most recent call last):
        ...
        spdclust.InputError: run_0: no component is alive

    Raises:
        InputError: the error of the block, with the file.
    """
    try:
        yield
    except InputError as error:
        raise error.located(file=file) from error


@contextlib.contextmanager
def in_setting(setting: str, file: str | Path | None = None) -> Iterator[None]:
    """Name the setting, and its file, in errors of what the setting names.

    Example:
        >>> with in_setting("model_path", "run.yaml"):
        ...     raise InputError("truncated", file="model_1.pth")
        Traceback (most recent call last):
        ...
        spdclust.InputError: run.yaml: model_path: model_1.pth: truncated

    Raises:
        InputError: the error of the block, with both.
    """
    try:
        yield
    except InputError as error:
        raise error.of_setting(setting).located(file=file) from error


def memory_error(error: BaseException) -> InputError | None:
    """Return the `InputError` for an error that means out of memory, otherwise None.

    Example:
        >>> memory_error(KeyError("a")) is None
        True
        >>> print(memory_error(MemoryError("Unable to allocate 3 GiB")))
        not enough memory (found: Unable to allocate 3 GiB; allowed: more memory, or fewer jobs at once)
    """
    # memory errors of torch and of threads have no type of their own
    reason = (str(error) or "an allocation failed").strip().split("\n")[0]
    if not isinstance(error, MemoryError) and not any(words in str(error) for words in _SAID):
        return None
    return InputError("not enough memory", found=reason, allowed="more memory, or fewer jobs at once")


_SAID = (
    "can't allocate memory",
    "out of memory",
    "Cannot allocate memory",
    "can't start new thread",
    "failed to map segment from shared object",  # when loading a shared library
)


def missing_package(error: BaseException) -> InputError | None:
    """Return the `InputError` for an error that means a missing package, otherwise None.

    Example:
        >>> print(missing_package(ModuleNotFoundError("No module named 'torch'", name="torch")))
        a package is not installed (found: no torch; allowed: pip install torch)
    """
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return None
    package = error.name.split(".")[0]
    return InputError("a package is not installed", found=f"no {package}", allowed=f"pip install {package}")


def _rebuild(
    problem: str, file: str | None, field: str | None, found: object, allowed: str | None
) -> InputError:
    return InputError(problem, file=file, field=field, found=found, allowed=allowed)


def _short(value: object, limit: int = 120) -> str:
    try:
        text = value if isinstance(value, str) else _BRIEF.repr(value)
    except ValueError:  # Python does not format integers of more than 4,300 digits
        text = f"{type(value).__name__} too large to write"
    return text if len(text) <= limit else text[: limit - 1] + "…"
