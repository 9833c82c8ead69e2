from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.plotting.names import ACTIVATION_FIGURES, by_figure
    from spdclust.stages.plot_activations import plot_activations

    plot_activations(
        snakemake.input.batch,
        paths=by_figure(snakemake.output, ACTIVATION_FIGURES),
        **snakemake.params.size,
    )
