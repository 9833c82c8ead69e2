from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.normalize import normalize

    normalize(
        list(snakemake.input.histories),
        meta=snakemake.output.meta,
        merge_array=snakemake.output.merge_array,
    )
