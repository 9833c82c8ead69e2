from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.track import track

    track(
        snakemake.params.folder,
        snakemake.params.settings,
        int(snakemake.wildcards.run),
        batches=snakemake.params.batches,
        path=snakemake.output[0],
    )
