from spdclust.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.distances import distances

    distances(list(snakemake.input.histories), snakemake.params.method, path=snakemake.output.distances)
