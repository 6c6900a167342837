# One thread: a trained model's bits depend on their number, so with --cores they would change.
# --set-threads train_model=8 gives training more, where its function makes use of them.
rule train_model:
    output:
        model="results/{run}/model.pt",
        hash="results/{run}/model.pt.sha256",
    log:
        "logs/{run}/train_model.log",
    resources:
        gpu=1,
    params:
        scripts=the_scripts,
        config=the_config,
        content=on_training,
    shell:
        "python {params.scripts:q}/train_model.py --config {params.config:q} --run {wildcards.run}"
        " --out {output.model} --log {log}"
