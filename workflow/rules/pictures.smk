# Captions and headings are for `snakemake --report`.


localrules:
    preview,


# What is evaluated so far of every run, after an interruption.  While a run is at work it holds
# Snakemake's lock; scripts/preview.py does the same then.
rule preview:
    log:
        "logs/preview.log",
    params:
        scripts=SCRIPTS,
        config=CONFIG,
    shell:
        "python {params.scripts:q}/preview.py --config {params.config:q} --log {log}"


rule plot_surface:
    input:
        surface_of,
        trajectory_of,
    output:
        **{
            kind: report(
                f"results/{{run}}/figures/{{key}}_{kind}.{{format}}",
                caption=f"../report/{kind}.rst",
                category="{run}",
                subcategory=key_of,
                labels={"picture": name},
            )
            for kind, name in SURFACE_PICTURES.items()
        },
    log:
        "logs/{run}/plot_surface/{key}.{format}.log",
    params:
        scripts=the_scripts,
        config=the_config,
        key=key_of,
        content=on_figures,
    shell:
        "python {params.scripts:q}/plot_surface.py --config {params.config:q} --run {wildcards.run}"
        " --key={params.key:q} --format {wildcards.format} --log {log}"


rule plot_curve:
    input:
        surface_of,
    output:
        report(
            "results/{run}/figures/{key}_1d.{format}",
            caption="../report/1d.rst",
            category="{run}",
            subcategory=key_of,
            labels={"picture": "curve"},
        ),
    log:
        "logs/{run}/plot_curve/{key}.{format}.log",
    params:
        scripts=the_scripts,
        config=the_config,
        key=key_of,
        content=on_figures,
    shell:
        "python {params.scripts:q}/plot_surface.py --config {params.config:q} --run {wildcards.run}"
        " --key={params.key:q} --format {wildcards.format} --log {log}"


rule plot_persistence:
    input:
        surface_of,
    output:
        report(
            "results/{run}/figures/{key}_persistence.{format}",
            caption="../report/persistence.rst",
            category="{run}",
            subcategory=key_of,
            labels={"picture": "basins"},
        ),
    log:
        "logs/{run}/plot_persistence/{key}.{format}.log",
    params:
        scripts=the_scripts,
        config=the_config,
        key=key_of,
        content=on_figures,
    shell:
        "python {params.scripts:q}/plot_persistence.py --config {params.config:q} --run {wildcards.run}"
        " --key={params.key:q} --format {wildcards.format} --log {log}"


rule plot_curves:
    input:
        "results/{run}/surface.h5",
    output:
        report(
            "results/{run}/figures/loss_and_accuracy_1d.{format}",
            caption="../report/loss_and_accuracy.rst",
            category="{run}",
            subcategory="all metrics",
            labels={"picture": "losses and accuracies"},
        ),
    log:
        "logs/{run}/plot_curves/{format}.log",
    params:
        scripts=the_scripts,
        config=the_config,
        content=on_figures,
    shell:
        "python {params.scripts:q}/plot_curves.py --config {params.config:q} --run {wildcards.run}"
        " --format {wildcards.format} --log {log}"


rule plot_gap:
    input:
        surface_of,
    output:
        report(
            "results/{run}/figures/{key}_gap.{format}",
            caption="../report/gap.rst",
            category="{run}",
            subcategory=key_of,
            labels={"picture": "gap to the training data"},
        ),
    log:
        "logs/{run}/plot_gap/{key}.{format}.log",
    params:
        scripts=the_scripts,
        config=the_config,
        key=key_of,
        content=on_figures,
    shell:
        "python {params.scripts:q}/plot_gap.py --config {params.config:q} --run {wildcards.run}"
        " --key={params.key:q} --format {wildcards.format} --log {log}"


rule plot_spectrum:
    input:
        "results/{run}/centre.json",
    output:
        report(
            "results/{run}/figures/spectrum.{format}",
            caption="../report/spectrum.rst",
            category="{run}",
            subcategory="all metrics",
            labels={"picture": "spectrum of the Hessian"},
        ),
    log:
        "logs/{run}/plot_spectrum/{format}.log",
    params:
        scripts=the_scripts,
        config=the_config,
        content=on_figures,
    shell:
        "python {params.scripts:q}/plot_spectrum.py --config {params.config:q} --run {wildcards.run}"
        " --format {wildcards.format} --log {log}"


rule compare_runs:
    input:
        surfaces_with,
    output:
        report(
            "results/comparison/{key}.{format}",
            caption="../report/comparison.rst",
            category="comparison",
            subcategory=shared_key_of,
            labels={"picture": "several runs"},
        ),
    log:
        "logs/comparison/compare_runs/{key}.{format}.log",
    params:
        scripts=the_scripts,
        config=the_config,
        key=shared_key_of,
        content=on_comparison,
    shell:
        "python {params.scripts:q}/compare_runs.py --config {params.config:q}"
        " --key={params.key:q} --format {wildcards.format} --log {log}"


rule export_vtp:
    input:
        surface_of,
    output:
        "results/{run}/paraview/{key}.vtp",
    log:
        "logs/{run}/export_vtp/{key}.log",
    params:
        scripts=the_scripts,
        config=the_config,
        key=key_of,
        content=on_paraview,
    shell:
        "python {params.scripts:q}/export_vtp.py --config {params.config:q} --run {wildcards.run}"
        " --key={params.key:q} --log {log}"


rule export_flat:
    input:
        "results/{run}/surface.h5",
    output:
        flat="results/{run}/paraview/flat.vtp",
        opener="results/{run}/paraview/open.py",
    log:
        "logs/{run}/export_flat.log",
    params:
        scripts=the_scripts,
        config=the_config,
        content=on_flat,
    shell:
        "python {params.scripts:q}/export_flat.py --config {params.config:q} --run {wildcards.run}"
        " --log {log}"


rule export_trajectory:
    input:
        surface_of,
        trajectory_of,
    output:
        "results/{run}/paraview/trajectory/{key}.vtp",
    log:
        "logs/{run}/export_trajectory/{key}.log",
    params:
        scripts=the_scripts,
        config=the_config,
        key=key_of,
        content=on_paraview,
    shell:
        "python {params.scripts:q}/export_trajectory.py --config {params.config:q} --run {wildcards.run}"
        " --key={params.key:q} --log {log}"
