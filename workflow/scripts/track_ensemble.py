from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.track import track

    track(snakemake.params.folder, snakemake.params.settings, path=snakemake.output[0])
