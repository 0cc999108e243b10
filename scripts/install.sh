#!/usr/bin/env bash
# install.sh PYTHON ARGUMENT...: `uv pip install ARGUMENT...` into the environment of this Python, with PyTorch's CPU build where
# there is no NVIDIA card: it takes a fifth of the room.
set -euo pipefail
python=$1
shift
uv="$(dirname "$python")/uv"
[ -x "$uv" ] || uv=uv

# uv knows where PyTorch keeps its CPU build. Where that place cannot be reached, the usual build does as well.
backend=()
if [ "$(uname)" = Linux ] && ! nvidia-smi >/dev/null 2>&1; then
    probe=("$uv" pip install --quiet --dry-run --reinstall --no-deps --python "$python" --torch-backend cpu torch)
    if UV_HTTP_TIMEOUT=10 UV_HTTP_RETRIES=0 timeout 30 "${probe[@]}" 2>/dev/null; then
        backend=(--torch-backend cpu)
    else
        echo "PyTorch's CPU build cannot be reached; its usual build is installed, which needs about 5 GB more." >&2
    fi
fi
exec "$uv" pip install --quiet --python "$python" ${backend[@]+"${backend[@]}"} "$@"
