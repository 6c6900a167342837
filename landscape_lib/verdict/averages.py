"""Do the metrics depend on how samples fall into batches?"""

from landscape_lib.verdict.evidence import Check, Evidence


def averages(evidence: Evidence) -> Check | None:
    """Name the metrics that are not the value of the whole data set as one batch."""
    labels = evidence.surface.labels
    told = [f"{key} is {labels[key].note}" for key in evidence.surface.keys if labels[key].note]
    if not told:
        return None
    return Check(
        "averages",
        "note",
        "Is each metric that of the whole data set, however samples fall into batches?",
        f"{'; '.join(told)}.",
        "A metric that gives one number a batch cannot be put together from its samples, unless it "
        "is a mean over them: another batch size may then give other values.",
        "Return one number a sample (a loss module: for reduction='none'), or set "
        "evaluation.batch_size, and say it beside the picture.",
    )
