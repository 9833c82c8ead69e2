from spdclust.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.plot_sweep import plot_sweep

    plot_sweep(
        snakemake.input.record,
        snakemake.params.figure,
        paths=[snakemake.output.png, snakemake.output.pdf],
        **snakemake.params.size,
    )
