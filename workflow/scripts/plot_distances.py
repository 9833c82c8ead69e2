from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.plot_distances import plot_distances

    plot_distances(
        snakemake.input.distances,
        snakemake.params.method,
        paths=[snakemake.output.png, snakemake.output.pdf],
        **snakemake.params.size,
    )
