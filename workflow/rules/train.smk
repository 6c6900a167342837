rule train_model:
    output:
        model="results/{run}/model.pt",
        hash="results/{run}/model.pt.sha256",
    log:
        "logs/{run}/train_model.log",
    params:
        content=on_training,
    resources:
        gpu=1,
    shell:
        "python {SCRIPTS}/train_model.py --config {CONFIG:q} --run {wildcards.run}"
        " --out {output.model} --log {log}"
