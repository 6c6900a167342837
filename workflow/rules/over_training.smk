# A landscape over training: its moments are runs of their own, evaluated like any other.


# Side by side in pdf, png or svg; as a film in gif or mp4.
rule plot_over_training:
    input:
        moments_of,
    output:
        report(
            "results/{run}/over_training/{key}.{format}",
            caption="../report/over_training.rst",
            category="{run}",
            subcategory=key_of,
            labels={"picture": "over training"},
        ),
    log:
        "logs/{run}/plot_over_training/{key}.{format}.log",
    wildcard_constraints:
        format="pdf|png|svg|gif|mp4",
    params:
        scripts=the_scripts,
        config=the_config,
        key=key_of,
        content=on_figures,
    shell:
        "python {params.scripts:q}/plot_over_training.py --config {params.config:q} --run {wildcards.run}"
        " --key={params.key:q} --format {wildcards.format} --log {log}"


rule explore_over_training:
    input:
        moments_of,
    output:
        report(
            "results/{run}/over_training.html",
            caption="../report/over_training.rst",
            category="{run}",
            subcategory="all metrics",
            labels={"picture": "explorer, over training"},
        ),
    log:
        "logs/{run}/explore_over_training.log",
    params:
        scripts=the_scripts,
        config=the_config,
        content=on_explorer,
    shell:
        "python {params.scripts:q}/explore_over_training.py --config {params.config:q} --run {wildcards.run}"
        " --out {output} --log {log}"


rule export_over_training:
    input:
        moments_of,
        sheets=sheets_of,
    output:
        "results/{run}/paraview/over_training/{key}.pvd",
    log:
        "logs/{run}/export_over_training/{key}.log",
    params:
        scripts=the_scripts,
        config=the_config,
        key=key_of,
        content=on_paraview,
    shell:
        "python {params.scripts:q}/export_over_training.py --config {params.config:q} --run {wildcards.run}"
        " --key={params.key:q} --log {log}"
