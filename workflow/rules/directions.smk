rule make_directions:
    input:
        made_files,
    output:
        directions="results/{run}/directions.h5",
        hash="results/{run}/directions.h5.sha256",
        table="results/{run}/directions.txt",
    log:
        "logs/{run}/make_directions.log",
    params:
        scripts=the_scripts,
        config=the_config,
        content=on_directions,
    shell:
        "python {params.scripts:q}/make_directions.py --config {params.config:q} --run {wildcards.run}"
        " --out {output.directions} --log {log}"
