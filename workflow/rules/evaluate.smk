# The probe's result decides which jobs follow: the number of shards, one picture job a metric.
# It times plans, with one thread and with all cores, so nothing else runs beside it.
checkpoint probe:
    input:
        made_files,
        films_probe,
    output:
        "results/{run}/probe.json",
    log:
        "logs/{run}/probe.log",
    threads: all_cores
    resources:
        gpu=1,
    params:
        scripts=the_scripts,
        config=the_config,
        content=on_problem,
    shell:
        "python {params.scripts:q}/probe.py --config {params.config:q} --run {wildcards.run}"
        " --out {output} --log {log}"


# Only where the config says 'auto' for the ends of an axis.
rule choose_range:
    input:
        made_files,
        trajectory_of,
        hash="results/{run}/directions.h5.sha256",
        directions=ancient("results/{run}/directions.h5"),
        probe=ancient("results/{run}/probe.json"),
    output:
        "results/{run}/range.json",
    log:
        "logs/{run}/choose_range.log",
    resources:
        gpu=1,
        mem_mb=memory_to_evaluate,
        runtime=minutes_of_range,
    params:
        scripts=the_scripts,
        config=the_config,
        content=on_range,
    shell:
        "python {params.scripts:q}/choose_range.py --config {params.config:q} --run {wildcards.run}"
        " --out {output} --log {log}"


# probe.json and directions.h5 are ancient: their dates do not count.  What matters of them comes
# in by content: the hash file, and params.
rule evaluate_shard:
    input:
        made_files,
        range_of,
        hash="results/{run}/directions.h5.sha256",
        directions=ancient("results/{run}/directions.h5"),
        probe=ancient("results/{run}/probe.json"),
    output:
        "results/{run}/shards/{k}-of-{n}.h5",
    log:
        "logs/{run}/evaluate_shard/{k}-of-{n}.log",
    threads: plans_threads
    resources:
        gpu=1,
        mem_mb=memory_to_evaluate,
        runtime=minutes_of_shard,
    params:
        scripts=the_scripts,
        config=the_config,
        content=on_shard,
        points="",
    shell:
        "python {params.scripts:q}/evaluate_shard.py --config {params.config:q} --run {wildcards.run}"
        " {params.points} --shard {wildcards.k} --of {wildcards.n} --out {output} --log {log}"


# An adaptive grid is evaluated in rounds: each one's points are chosen from what those before it
# found, and its shards are shards like any other.
checkpoint choose_points:
    input:
        range_of,
        rounds_before,
        probe=ancient("results/{run}/probe.json"),
    output:
        "results/{run}/rounds/{round}.json",
    log:
        "logs/{run}/choose_points/{round}.log",
    params:
        scripts=the_scripts,
        config=the_config,
        content=on_points,
    shell:
        "python {params.scripts:q}/choose_points.py --config {params.config:q} --run {wildcards.run}"
        " --round {wildcards.round} --out {output} --log {log}"


use rule evaluate_shard as evaluate_round with:
    input:
        made_files,
        range_of,
        points="results/{run}/rounds/{round}.json",
        hash="results/{run}/directions.h5.sha256",
        directions=ancient("results/{run}/directions.h5"),
        probe=ancient("results/{run}/probe.json"),
    output:
        "results/{run}/rounds/{round}/{k}-of-{n}.h5",
    log:
        "logs/{run}/evaluate_round/{round}/{k}-of-{n}.log",
    params:
        scripts=the_scripts,
        config=the_config,
        content=on_shard,
        points=lambda wildcards, input: f"--points {input.points}",


rule merge_shards:
    input:
        range_of,
        shards=shards_of,
        directions=ancient("results/{run}/directions.h5"),
        probe=ancient("results/{run}/probe.json"),
    output:
        "results/{run}/surface.h5",
    log:
        "logs/{run}/merge_shards.log",
    params:
        scripts=the_scripts,
        config=the_config,
        grid=on_grid,
        n=lambda wildcards, input: len(input.shards),
    shell:
        "python {params.scripts:q}/merge_shards.py --config {params.config:q} --run {wildcards.run}"
        " --of {params.n} --out {output} --log {log}"
