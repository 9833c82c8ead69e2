"""The first merge of an ensemble compiles the kernels; the second one does not wait for it idly."""

from spdclust.core.compiling import while_waiting


def compile_ahead() -> None:
    """Let this process, if it has to wait for kernels, compile those of the stages that follow the merges.

    Not a part of the merge's stage, whose fingerprint would then depend on the code of those stages.

    Example:
        >>> compile_ahead()
    """
    while_waiting(_compile_later_kernels)


def _compile_later_kernels() -> None:
    from spdclust.groups.warming import warm_up as warm_up_groups
    from spdclust.partitions.trajectory import warm_up as warm_up_partitions

    warm_up_partitions()
    warm_up_groups()
