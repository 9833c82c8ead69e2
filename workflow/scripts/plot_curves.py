from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.plotting.names import CURVE_FIGURES, by_figure
    from spdclust.stages.plot_curves import plot_curves

    plot_curves(
        list(snakemake.input.histories),
        paths=by_figure(snakemake.output, CURVE_FIGURES),
        **snakemake.params.size,
    )
