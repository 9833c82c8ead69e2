from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.distances import distances_part

    distances_part(
        snakemake.input.merges,
        snakemake.params.methods,
        snakemake.output[0],
        part=int(snakemake.wildcards.part),
        n_parts=int(snakemake.wildcards.of),
        stride=snakemake.params.stride,
        n_workers=snakemake.threads,
    )
