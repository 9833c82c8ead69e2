from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.plot_merge_tree import plot_merge_tree

    plot_merge_tree(
        snakemake.input.history,
        paths=[snakemake.output.png, snakemake.output.pdf],
        title=snakemake.params.title,
        **snakemake.params.size,
    )
