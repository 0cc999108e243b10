#!/usr/bin/env bash
# install.sh PYTHON ARGUMENT...: `uv pip install ARGUMENT...` under constraints.txt into the environment of this Python, with a CPU
# build of PyTorch if there is no NVIDIA card: it takes a fifth of the space.
set -euo pipefail
python=$1
shift
uv="$(dirname "$python")/uv"
[ -x "$uv" ] || uv=uv
here="$(dirname "$0")/.."

has_torch() { "$python" -c 'from importlib.metadata import version; version("torch")' 2>/dev/null; }

# The version of a CPU build among the wheels that pip is set up to find on this machine, if any.
local_build() {
    "$python" -m pip install --quiet --dry-run --no-index --no-deps --report - 'torch>=2.6' 2>/dev/null |
        "$python" -c 'import json, sys; print(json.load(sys.stdin)["install"][0]["metadata"]["version"])' 2>/dev/null |
        grep '+cpu$'
}

backend=() unpinned='^$'
if [ "$(uname)" = Linux ] && ! nvidia-smi >/dev/null 2>&1; then
    # uv knows where PyTorch keeps its CPU builds, those of torchvision too. Where that place cannot be reached, and there is no
    # wheel here either, the usual build does as well.
    probe=("$uv" pip install --quiet --dry-run --reinstall --no-deps --python "$python" --torch-backend cpu torch)
    if UV_HTTP_TIMEOUT=10 UV_HTTP_RETRIES=0 timeout 30 "${probe[@]}" 2>/dev/null; then
        backend=(--torch-backend cpu)
    elif ! has_torch && found=$(local_build); then
        "$python" -m pip install --quiet --no-index --no-deps "torch==$found"
        unpinned='^torch=='
    else
        echo "PyTorch's CPU build cannot be reached: its usual build is installed, which needs about 5 GB more." >&2
    fi
fi
constraints=$(mktemp)
trap 'rm -f "$constraints"' EXIT
grep -v "$unpinned" "$here/constraints.txt" >"$constraints"
"$uv" pip install --quiet --python "$python" --constraint "$constraints" ${backend[@]+"${backend[@]}"} "$@"
