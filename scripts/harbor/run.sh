#!/usr/bin/env bash
# Harbor's own agents oracle and nop on exported tasks of pypi, in machines of swegym: their rewards must be 1 and 0.
# It makes an environment for Harbor below FOLDER, which needs Python 3.12 or later.
#   scripts/harbor/run.sh FOLDER unidiff-0.7.4-0.7.5 [TASK ...]
set -euo pipefail
[ $# -ge 2 ] || { sed -n 2,4p "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd); shift
export LITELLM_LOCAL_MODEL_COST_MAP=True SWEGYM_PYTHON=${SWEGYM_PYTHON:-$here/../../.venv/bin/python} PYTHONPATH=$here
python=${HARBOR_PYTHON:-python3.12}
[ -x "$folder/venv/bin/harbor" ] || { "$python" -m venv "$folder/venv"; "$folder/venv/bin/pip" install -q harbor; }
"$(dirname "$SWEGYM_PYTHON")/swegym" tasks build pypi "${@/#/-i}" >&2
rm -rf "$folder/tasks" "$folder/jobs"
"$SWEGYM_PYTHON" -c 'import sys; from swegym.adapters.harbor import export; export("pypi", sys.argv[1], sys.argv[2:])' "$folder/tasks" "$@"
for agent in oracle nop; do
    "$folder/venv/bin/harbor" run -q -p "$folder/tasks" -a "$agent" --env environment:SwegymEnvironment \
        -o "$folder/jobs/$agent" >/dev/null 2>"$folder/$agent.log"
    for reward in "$folder/jobs/$agent"/*/*/verifier/reward.txt; do
        echo "$agent: $(basename "$(dirname "$(dirname "$reward")")"): $(cat "$reward")"
    done
done
