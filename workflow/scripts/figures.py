from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.results import draw_figures

    draw_figures(
        snakemake.params.figures,
        dict(snakemake.input.items()),
        dict(snakemake.output.items()),
        arguments=snakemake.params.arguments,
        threads=snakemake.threads,
        **snakemake.params.size,
    )
