from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.plot_merge_candidates import plot_merge_candidates

    plot_merge_candidates(
        snakemake.input.history,
        list(snakemake.input.batches),
        paths=[snakemake.output.png, snakemake.output.pdf],
        title=snakemake.params.title,
        threads=snakemake.threads,
        **snakemake.params.size,
    )
