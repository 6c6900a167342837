# Pages to explore landscapes with, each with its verdict.
rule make_explorer:
    input:
        "results/{run}/surface.h5",
        trajectory_of,
        verdict="results/{run}/verdict.json",
    output:
        report(
            "results/{run}/explorer.html",
            caption="../report/explorer.rst",
            category="{run}",
            subcategory="all metrics",
            labels={"picture": "explorer"},
        ),
    log:
        "logs/{run}/make_explorer.log",
    params:
        scripts=the_scripts,
        config=the_config,
        content=on_explorer,
    shell:
        "python {params.scripts:q}/make_explorer.py --config {params.config:q} --run {wildcards.run}"
        " --verdict {input.verdict} --out {output} --log {log}"


rule make_all_explorer:
    input:
        every_surface,
    output:
        "results/explorer.html",
    log:
        "logs/make_all_explorer.log",
    params:
        scripts=the_scripts,
        config=the_config,
        runs=list(SHOWN),
        content=DEPENDS.explorer(SHOWN[0]),
    shell:
        "python {params.scripts:q}/make_all_explorer.py --config {params.config:q}"
        " --out {output} --log {log}"
