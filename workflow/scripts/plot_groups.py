from spdclust.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.plot_groups import plot_groups

    plot_groups(
        snakemake.input.record,
        snakemake.input.components,
        snakemake.input.groups,
        snakemake.input.coclustering,
        paths={"coclustering": snakemake.output[:2], "consensus": snakemake.output[2:]},
        **snakemake.params.size,
    )
