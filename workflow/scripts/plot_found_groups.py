from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.plotting.names import FOUND_FIGURES, by_figure
    from spdclust.stages.plot_found_groups import plot_found_groups

    plot_found_groups(
        snakemake.input.record,
        next(iter(snakemake.input.batch), None),
        paths=by_figure(snakemake.output, FOUND_FIGURES),
        **snakemake.params.size,
    )
