from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.track import track_run

    track_run(
        snakemake.params.folder,
        int(snakemake.wildcards.run),
        snakemake.params.settings,
        batches=snakemake.params.batches,
        path=snakemake.output[0],
    )
