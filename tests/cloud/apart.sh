#!/usr/bin/env bash
# A cluster without a shared file system, for a test: each job has a machine of its own, that is an
# empty folder.  apart.sh submit SCRIPT prints the folder, the job's id; apart.sh status ID.
# Only what counts evaluations, and holds them, is shared: it is the test's, not the pipeline's.
set -euo pipefail

submit() {
    local machine
    machine=$(mktemp -d "$LANDSCAPE_MACHINES/XXXXXX")
    ln -s "$PWD/evaluations.txt" "$PWD/hold" "$machine"
    cp "$1" "$machine/job.sh"
    cd "$machine"
    setsid bash -c 'echo $$ >session; bash job.sh; echo $? >code.new; mv code.new code' \
        </dev/null >log 2>&1 &
    echo "$machine"
}

status() {
    if [ ! -e "$1/code" ]; then echo running; elif [ "$(cat "$1/code")" = 0 ]; then echo success; else echo failed; fi
}

"$@"
