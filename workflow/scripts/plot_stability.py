from spdclust.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.plot_stability import plot_stability

    plot_stability(
        snakemake.input.record,
        snakemake.input.iterations,
        snakemake.params.figure,
        paths=[snakemake.output.png, snakemake.output.pdf],
        **snakemake.params.size,
    )
