rule make_directions:
    input:
        made_files,
    output:
        directions="results/{run}/directions.h5",
        hash="results/{run}/directions.h5.sha256",
        table=report(
            "results/{run}/directions.txt",
            caption="../report/directions.rst",
            category="{run}",
            subcategory="all metrics",
            labels={"picture": "directions"},
        ),
    log:
        "logs/{run}/make_directions.log",
    resources:
        gpu=gpus_for_directions,
    params:
        scripts=the_scripts,
        config=the_config,
        content=on_directions,
    shell:
        "python {params.scripts:q}/make_directions.py --config {params.config:q} --run {wildcards.run}"
        " --out {output.directions} --log {log}"


# Where trainings walked is a matter of pictures: nothing that evaluates depends on it, except the
# range where the config says 'auto'.
rule project_trajectory:
    input:
        made_files,
        hash="results/{run}/directions.h5.sha256",
        directions=ancient("results/{run}/directions.h5"),
    output:
        "results/{run}/trajectory.json",
    log:
        "logs/{run}/project_trajectory.log",
    params:
        scripts=the_scripts,
        config=the_config,
        content=on_trajectory,
    shell:
        "python {params.scripts:q}/project_trajectory.py --config {params.config:q} --run {wildcards.run}"
        " --out {output} --log {log}"
