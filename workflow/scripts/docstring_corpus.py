from spdclust.execution.jobs import job

with job(snakemake.log[0], snakemake.rule, snakemake.threads):
    from spdclust.stages.docstring_corpus import docstring_corpus

    docstring_corpus(snakemake.output[0])
