# All figures -> one self-contained page with their captions, for those who did not run the workflow.


rule report_page:
    input:
        figure_files(ENSEMBLES),
    output:
        path=f"{RESULTS}/report.html",
    log:
        f"{RESULTS}/logs/report.log",
    benchmark:
        f"{RESULTS}/logs/report.tsv"
    localrule: True
    conda:
        "../envs/spdclust.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        **stage_params("results:report"),
        # of this workflow and its configuration, also where another workflow uses it as a module
        snakefile=os.path.relpath(SNAKEFILE),
        config=config,
        target="figures",
    script:
        "../workflow/scripts/stage.py"
