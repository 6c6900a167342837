# What needs the model is measured once a surface; judging it needs arrays alone.
rule measure_centre:
    input:
        made_files,
        surface="results/{run}/surface.h5",
        hash="results/{run}/directions.h5.sha256",
        directions=ancient("results/{run}/directions.h5"),
        probe=ancient("results/{run}/probe.json"),
    output:
        "results/{run}/centre.json",
    log:
        "logs/{run}/measure_centre.log",
    resources:
        gpu=1,
        mem_mb=memory_to_evaluate,
        runtime=minutes_of_centre,
    params:
        scripts=the_scripts,
        config=the_config,
        content=on_centre,
    shell:
        "python {params.scripts:q}/measure_centre.py --config {params.config:q} --run {wildcards.run}"
        " --out {output} --log {log}"


rule make_verdict:
    input:
        surface="results/{run}/surface.h5",
        centre="results/{run}/centre.json",
    output:
        verdict="results/{run}/verdict.json",
        page=report(
            "results/{run}/verdict.html",
            caption="../report/verdict.rst",
            category="{run}",
            subcategory="all metrics",
            labels={"picture": "verdict"},
        ),
    log:
        "logs/{run}/make_verdict.log",
    params:
        scripts=the_scripts,
        config=the_config,
        content=on_verdict,
    shell:
        "python {params.scripts:q}/make_verdict.py --config {params.config:q} --run {wildcards.run}"
        " --out {output.verdict} --page {output.page} --log {log}"
