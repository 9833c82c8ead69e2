from spdclust.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.plot_curve import plot_curve

    plot_curve(
        list(snakemake.input.histories),
        snakemake.params.curve,
        paths=[snakemake.output.png, snakemake.output.pdf],
        **snakemake.params.size,
    )
