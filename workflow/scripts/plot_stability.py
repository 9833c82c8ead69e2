from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.plotting.names import STABILITY_FIGURES, by_figure
    from spdclust.stages.plot_stability import plot_stability

    plot_stability(
        snakemake.input.record,
        snakemake.input.iterations,
        paths=by_figure(snakemake.output, STABILITY_FIGURES),
        **snakemake.params.size,
    )
