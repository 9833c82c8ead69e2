from pathlib import Path

from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.groups import groups

    histories, batches = list(snakemake.input.histories), list(snakemake.input.batches)
    per_run = len(batches) // len(histories)
    groups(
        histories,
        Path(snakemake.output[0]).parent,
        batches=[batches[run * per_run :][:per_run] for run in range(len(histories))],
        threads=snakemake.threads,
        **snakemake.params.names,
    )
