from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.plot_merge_state import plot_merge_state

    plot_merge_state(
        snakemake.input.history,
        list(snakemake.input.batches),
        snakemake.params.moment,
        paths=[snakemake.output.png, snakemake.output.pdf],
        title=snakemake.params.title,
        threads=snakemake.threads,
        **snakemake.params.size,
    )
