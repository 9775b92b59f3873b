#!/usr/bin/env bash
# The CUDA backend on a machine with a GPU: builds it for that GPU, checks every op and whole models
# against their references, measures beside PyTorch, runs compute-sanitizer over tiny shapes, and
# prints one table, whatever of it failed. Needs CUDA 13 (or 12.4), g++, CMake with make or ninja, and a
# python3 with PyTorch; no network, no Node, no oneDNN. cuBLAS and cuDNN may be those of PyTorch's
# packages. Ends within 8 minutes (or ACD_GPU_CHECK_SECONDS and a few more), with 1 when a check failed: what
# time is left for comes last.
#
#   scripts/gpu-check.sh [FOLDER]      FOLDER: for the build and the results, default build/gpu
set -u
cd "$(dirname "$0")/.."
folder=${1:-build/gpu}
case $folder in /*) ;; *) folder=$PWD/$folder ;; esac
mkdir -p "$folder" || exit 1
rm -f "$folder"/*.txt
deadline=${ACD_GPU_CHECK_SECONDS:-460} # the table comes after
failed=0

# The toolkit, where PATH lacks it: the newest.
if ! command -v nvcc >/dev/null; then
  for bin in $(ls -d /usr/local/cuda/bin /usr/local/cuda-*/bin /opt/cuda/bin 2>/dev/null | sort -V); do
    [ -x "$bin/nvcc" ] && PATH=$bin:$PATH
  done
fi
python=$(command -v python3 || command -v python || true)
# Folders `nvidia` of Python's packages: their libraries for the program, their headers for CMake.
wheels=$([ -n "$python" ] && timeout 20 "$python" -c 'import nvidia; print("\n".join(nvidia.__path__))' 2>/dev/null)
while read -r wheel; do
  [ -n "$wheel" ] || continue
  for lib in "$wheel"/cu13/lib "$wheel"/cublas/lib "$wheel"/cudnn/lib; do
    [ -d "$lib" ] && ACD_CUDA_LIBRARY_PATH=${ACD_CUDA_LIBRARY_PATH:+$ACD_CUDA_LIBRARY_PATH:}$lib
  done
done <<<"$wheels"
export ACD_CUDA_LIBRARY_PATH=${ACD_CUDA_LIBRARY_PATH:-}
export ACD_CLIP_CACHE_DIR=$folder/cache ACD_CUDA_PLUGIN=$folder/libacd_cuda.so
unset ACD_CUDA_ATTENTION

table() {
  trap - EXIT
  if [ -n "$python" ] && timeout 30 "$python" scripts/gpu-check.py table "$folder" >"$folder/table.md" 2>&1; then
    cat "$folder/table.md"
  else
    echo "There is no table (no python3, or: $(tail -n 1 "$folder/table.md" 2>/dev/null)); what the parts said:"
    tail -n 400 "$folder"/*.txt
  fi
  exit $failed
}
trap table EXIT
trap 'failed=1; exit 1' INT TERM

part() { # name, most seconds, command...
  local name=$1 seconds=$2 start=$SECONDS left=$((deadline - SECONDS))
  shift 2
  [ "$seconds" -gt "$left" ] && seconds=$left
  echo "== $name"
  if [ "$seconds" -lt 5 ]; then
    echo '{"note": "'"$name"' was not run: out of time"}' >"$folder/$name.txt"
    echo "   not run: out of time"
    return 1
  fi
  timeout -k 5 "$seconds" "$@" >"$folder/$name.txt" 2>&1 </dev/null
  local code=$?
  if [ $code -ne 0 ]; then
    failed=1
    local why="ended with $code"
    { [ $code -eq 124 ] || [ $code -eq 137 ]; } && why="was stopped after $seconds s"
    printf '\n{"note": "%s %s"}\n' "$name" "$why" >>"$folder/$name.txt"
    echo "FAILED: $name $why; the end of its output:"
    tail -n 25 "$folder/$name.txt"
  fi
  echo "   $((SECONDS - start)) s"
  return $code
}

# This GPU's code alone, and PTX: all architectures are CI's to build.
capability=$(timeout 20 nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -d '. ')
case $capability in
  90) architectures=90a ;;
  80 | 86 | 89) architectures=$capability ;;
  *) architectures='80;86;89;90a' ;;
esac
generator=()
if ! command -v make >/dev/null; then
  ninja=$(command -v ninja || { [ -n "$python" ] && "$python" -c 'import ninja; print(ninja.BIN_DIR + "/ninja")' 2>/dev/null; })
  [ -n "$ninja" ] && generator=(-G Ninja "-DCMAKE_MAKE_PROGRAM=$ninja")
fi
for tool in cmake g++ nvcc; do
  command -v $tool >/dev/null || echo "missing on PATH: $tool"
done

check=$folder/acd_gpu_check
if part configure 60 cmake -S . -B "$folder" "${generator[@]+"${generator[@]}"}" -DCMAKE_BUILD_TYPE=Release \
  -DACD_ADDON=OFF -DACD_TESTS=OFF -DACD_GPU_CHECK=ON -DACD_CUDA=on "-DACD_CUDA_ARCHITECTURES=$architectures" &&
  part build 240 cmake --build "$folder" --parallel "$(nproc)"; then
  export ACD_CUDA_ATTENTION=ours
  part ops 90 "$check" ops
  export ACD_CUDA_ATTENTION=cudnn
  part cudnn 40 "$check" attention
  unset ACD_CUDA_ATTENTION
  part model 60 "$check" model
  part bench 120 "$check" bench
fi
[ -n "$python" ] && part torch 150 "$python" scripts/gpu-check.py measure
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda*/bin/compute-sanitizer /opt/nvidia/*/compute-sanitizer 2>/dev/null | head -n 1)
if [ -x "$check" ] && [ -n "$sanitizer" ]; then
  part sanitizer 120 "$sanitizer" --tool memcheck --leak-check full --error-exitcode 99 "$check" tiny
  ACD_CUDA_ATTENTION=ours part racecheck 120 "$sanitizer" --tool racecheck --error-exitcode 99 "$check" tiny
else
  echo '{"note": "compute-sanitizer was not run: it is not installed"}' >"$folder/sanitizer.txt"
fi
