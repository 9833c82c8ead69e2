from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.summarize import summarize_ensemble

    summarize_ensemble(
        list(snakemake.input.histories),
        dict(zip(snakemake.params.methods, snakemake.input.distances, strict=True)),
        snakemake.input.stability,
        snakemake.input.groups,
        path=snakemake.output.summary,
    )
