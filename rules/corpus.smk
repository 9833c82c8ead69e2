# The installed Python -> texts for the language-model demonstration.


rule docstring_corpus:
    output:
        # named by the run file, which knows nothing of where other results go
        path="results/docs_corpus.jsonl",
    log:
        "results/logs/docs_corpus.log",
    benchmark:
        "results/logs/docs_corpus.tsv"
    conda:
        "../envs/spdclust.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        **stage_params("docstring_corpus:docstring_corpus"),
    script:
        "../workflow/scripts/stage.py"
