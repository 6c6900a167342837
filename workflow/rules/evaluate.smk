# The probe's result decides which jobs follow: the number of shards, one picture job a metric.
checkpoint probe:
    input:
        made_files,
    output:
        "results/{run}/probe.json",
    log:
        "logs/{run}/probe.log",
    params:
        content=on_problem,
    resources:
        gpu=1,
    shell:
        "python {SCRIPTS}/probe.py --config {CONFIG:q} --run {wildcards.run}"
        " --out {output} --log {log}"


# probe.json and directions.h5 are ancient: their dates do not count.  What matters of them comes
# in by content: the hash file, and params.
rule evaluate_shard:
    input:
        made_files,
        hash="results/{run}/directions.h5.sha256",
        directions=ancient("results/{run}/directions.h5"),
        probe=ancient("results/{run}/probe.json"),
    output:
        "results/{run}/shards/{k}-of-{n}.h5",
    log:
        "logs/{run}/evaluate_shard/{k}-of-{n}.log",
    params:
        content=on_shard,
    resources:
        gpu=1,
    shell:
        "python {SCRIPTS}/evaluate_shard.py --config {CONFIG:q} --run {wildcards.run}"
        " --shard {wildcards.k} --of {wildcards.n} --out {output} --log {log}"


rule merge_shards:
    input:
        shards=shards_of,
        directions=ancient("results/{run}/directions.h5"),
        probe=ancient("results/{run}/probe.json"),
    output:
        "results/{run}/surface.h5",
    log:
        "logs/{run}/merge_shards.log",
    params:
        grid=on_grid,
        n=lambda wildcards, input: len(input.shards),
    shell:
        "python {SCRIPTS}/merge_shards.py --config {CONFIG:q} --run {wildcards.run}"
        " --of {params.n} --out {output} --log {log}"
