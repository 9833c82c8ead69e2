from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.plotting.names import by_figure
    from spdclust.stages.plot_sweep import plot_sweep
    from spdclust.sweeps.names import SWEEP_FIGURES

    plot_sweep(
        snakemake.input.record,
        paths=by_figure(snakemake.output, SWEEP_FIGURES),
        **snakemake.params.size,
    )
