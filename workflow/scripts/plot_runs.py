from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.plot_runs import plot_runs

    plot_runs(
        snakemake.input.distances,
        snakemake.input.record,
        snakemake.params.method,
        paths=[snakemake.output.png, snakemake.output.pdf],
        **snakemake.params.size,
    )
