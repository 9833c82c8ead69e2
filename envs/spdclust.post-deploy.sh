#!/bin/sh
# Runs inside the environment that conda has just made. The workflow says what to install: its own checkout, or the wheel
# or version that it was installed from.
set -e
case "$SPDCLUST_REQUIREMENT" in
    "") echo "SPDCLUST_REQUIREMENT is not set: start the workflow by snakemake" >&2 && exit 1 ;;
    # editable, since the fingerprints of the code are those of the checkout
    /*) python -m pip install -e "$SPDCLUST_REQUIREMENT" ;;
    *) python -m pip install "$SPDCLUST_REQUIREMENT" ;;
esac
