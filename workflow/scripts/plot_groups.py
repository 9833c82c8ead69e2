from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.plotting.names import GROUP_FIGURES, by_figure
    from spdclust.stages.plot_groups import plot_groups

    plot_groups(
        snakemake.input.record,
        snakemake.input.components,
        snakemake.input.groups,
        snakemake.input.coclustering,
        paths=by_figure(snakemake.output, GROUP_FIGURES),
        **snakemake.params.size,
    )
