"""How a rule runs its stage: what the rule names becomes the arguments of the function."""

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from spdclust.core.errors import InputError

ONLY_TRIGGERS = ("stage", "code", "digest")
"""Params that are not arguments: the function, its fingerprint, and what else triggers a re-run."""


def call_stage(job: Any) -> None:
    """Call the function that a rule's `params.stage` names.

    Its arguments are the named inputs, outputs and params of the rule, and `threads` if it has that
    parameter. A param with the name of an input replaces it: the same files, in the form that the function
    takes. Unnamed inputs and outputs are dependencies only.

    Example:
        >>> import tempfile
        >>> from types import SimpleNamespace
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     place = write_example_ensemble(folder)
        ...     outputs = {"meta": place.folder / "meta.json", "merge_array": place.folder / "array.npz"}
        ...     call_stage(
        ...         SimpleNamespace(
        ...             rule="normalize",
        ...             input={"histories": [place.history(0), place.history(1)]},
        ...             output=outputs,
        ...             params={"stage": "ensemble_records:normalize", "code": "0123456789abcdef"},
        ...             threads=1,
        ...         )
        ...     )
        ...     outputs["meta"].is_file()
        True

    Args:
        job: the `snakemake` object of a script.

    Raises:
        InputError: there is no such function, or its parameters are not those that the rule names; or the
            function raises one.
    """
    inputs, outputs, params = (dict(each.items()) for each in (job.input, job.output, job.params))
    function = find_stage(job.rule, params.get("stage"))
    check_names(job.rule, function, input=inputs, output=outputs, params=params)
    given = inputs | outputs | {name: value for name, value in params.items() if name not in ONLY_TRIGGERS}
    if "threads" in inspect.signature(function).parameters:
        given.setdefault("threads", job.threads)
    function(**{name: _plain(value) for name, value in given.items()})


def find_stage(rule: str, stage: str | None) -> Callable[..., Any]:
    """Return the function `module:function` of `spdclust.stages`.

    Example:
        >>> find_stage("map_run", "stability:map_run").__name__
        'map_run'

    Raises:
        InputError: there is no such function.
    """
    module, _, name = (stage or "").partition(":")
    full = f"spdclust.stages.{module}"
    try:
        function = getattr(importlib.import_module(full), name, None) if module else None
    except ModuleNotFoundError as error:
        if error.name != full:
            raise
        function = None
    if not inspect.isfunction(function):
        raise InputError(
            "no such stage",
            file=f"rule {rule}",
            field="params.stage",
            found=stage,
            allowed="<module>:<function> of spdclust.stages",
        )
    return function


def check_names(
    rule: str,
    function: Callable[..., Any],
    *,
    input: Iterable[str] = (),
    output: Iterable[str] = (),
    params: Iterable[str] = (),
) -> None:
    """Check that what a rule names are the parameters of a function.

    Example:
        >>> from spdclust.stages.results import registry
        >>> check_names("registry", registry, output=["path"], params=["stage", "code"])
        >>> check_names("registry", registry, output=["database"])
        Traceback (most recent call last):
        spdclust.InputError: rule registry: output.database: no parameter of
        spdclust.stages.results:registry (allowed: path)

    Raises:
        InputError: a name is not a parameter, is given twice, or a parameter without default is missing.
    """
    parameters = inspect.signature(function).parameters
    stage = f"{function.__module__}:{function.__qualname__}"
    named: Mapping[str, list[str]] = {
        "input": list(input),
        "output": list(output),
        "params": [name for name in params if name not in ONLY_TRIGGERS],
    }
    for kind, names in named.items():
        for name in names:
            if name not in parameters:
                raise InputError(
                    f"no parameter of {stage}",
                    file=f"rule {rule}",
                    field=f"{kind}.{name}",
                    allowed=", ".join(parameters),
                )
            if kind == "output" and name in (*named["input"], *named["params"]):
                raise InputError(
                    f"this parameter of {stage} has another value too",
                    file=f"rule {rule}",
                    field=f"{kind}.{name}",
                    allowed="names of outputs that no input or param has",
                )
    given = {"threads", *named["input"], *named["output"], *named["params"]}
    for name, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty and name not in given:
            raise InputError(
                f"this parameter of {stage} is missing",
                file=f"rule {rule}",
                field=name,
                allowed="an input, output or param of this name",
            )


def _plain(value: Any) -> Any:
    """Return files as a plain list; Snakemake has its own type for them."""
    return list(value) if isinstance(value, list) else value
