# A run with several seeds: its members are runs of their own; here they become one.


rule merge_seeds:
    input:
        members_of,
    output:
        "results/{run}/seeds.h5",
    log:
        "logs/{run}/merge_seeds.log",
    params:
        scripts=the_scripts,
        config=the_config,
        members=lambda wildcards: DEPENDS.config.run(wildcards.run).members,
    shell:
        "python {params.scripts:q}/merge_seeds.py --config {params.config:q} --run {wildcards.run}"
        " --out {output} --log {log}"


rule plot_seeds:
    input:
        seeds_of,
    output:
        report(
            "results/{run}/figures/{key}_seeds.{format}",
            caption="../report/seeds.rst",
            category="{run}",
            subcategory=key_of,
            labels={"picture": "several seeds"},
        ),
    log:
        "logs/{run}/plot_seeds/{key}.{format}.log",
    params:
        scripts=the_scripts,
        config=the_config,
        key=key_of,
        content=on_figures,
    shell:
        "python {params.scripts:q}/plot_seeds.py --config {params.config:q} --run {wildcards.run}"
        " --key={params.key:q} --format {wildcards.format} --log {log}"
