from spdclust.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.plotting.names import ACTIVATION_FIGURES
    from spdclust.stages.plot_activations import plot_activations

    n = len(ACTIVATION_FIGURES)
    plot_activations(
        snakemake.input.batch,
        paths=dict(
            zip(
                ACTIVATION_FIGURES,
                zip(snakemake.output[:n], snakemake.output[n:], strict=True),
                strict=True,
            )
        ),
        **snakemake.params.size,
    )
