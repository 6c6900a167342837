rule make_directions:
    input:
        made_files,
    output:
        directions="results/{run}/directions.h5",
        hash="results/{run}/directions.h5.sha256",
    log:
        "logs/{run}/make_directions.log",
    params:
        content=on_directions,
    shell:
        "python {SCRIPTS}/make_directions.py --config {CONFIG:q} --run {wildcards.run}"
        " --out {output.directions} --log {log}"
