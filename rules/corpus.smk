# The installed Python -> texts for the language-model demonstration.


rule docstring_corpus:
    output:
        # named by the run file, which knows nothing of where other results go
        "results/docs_corpus.jsonl",
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
        code=stage_fingerprint("docstring_corpus"),
    script:
        "../workflow/scripts/docstring_corpus.py"
