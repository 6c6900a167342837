rule plot_surface:
    input:
        surface_of,
    output:
        expand(
            "results/{{run}}/figures/{{key}}_{kind}.{{format}}",
            kind=["2dcontour", "2dcontourf", "2dheat", "3dsurface"],
        ),
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
        "results/{run}/figures/{key}_1d.{format}",
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
