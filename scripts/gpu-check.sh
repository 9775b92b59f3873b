#!/usr/bin/env bash
# The CUDA backend on a machine with a GPU: builds it, checks every op and whole models against
# their references, runs compute-sanitizer over tiny shapes, then the benchmark beside PyTorch, and
# prints one table. Needs CUDA 13 (or 12.4), CMake, g++ and a python3 with PyTorch; no network, no
# Node, no oneDNN. Everything within 8 minutes on 16 cores; ends with 1 when a check failed.
#
#   scripts/gpu-check.sh [FOLDER]      FOLDER: for the build and the results, default build/gpu
set -u
cd "$(dirname "$0")/.."
folder=${1:-build/gpu}
mkdir -p "$folder"
failed=0

# Headers and libraries of Python's wheels, where there are any.
wheels=$(python3 -c 'import nvidia; print(list(nvidia.__path__)[0])' 2>/dev/null)
if [ -n "$wheels" ]; then
  ACD_CUDA_LIBRARY_PATH=${ACD_CUDA_LIBRARY_PATH:-}$(printf ':%s' "$wheels"/cu13/lib "$wheels"/cublas/lib "$wheels"/cudnn/lib)
  export ACD_CUDA_LIBRARY_PATH
fi
export ACD_CLIP_CACHE_DIR=$folder/cache ACD_CUDA_PLUGIN=$PWD/$folder/libacd_cuda.so
case $folder in /*) ACD_CUDA_PLUGIN=$folder/libacd_cuda.so ;; esac

part() { # name, seconds, command...
  local name=$1 seconds=$2 start=$SECONDS
  shift 2
  echo "== $name"
  timeout "$seconds" "$@" >"$folder/$name.txt" 2>&1
  local code=$?
  if [ $code -ne 0 ]; then
    failed=1
    echo "FAILED: $name ended with $code; the end of its output:"
    tail -n 25 "$folder/$name.txt"
  fi
  echo "   $((SECONDS - start)) s"
}

part configure 60 cmake -S . -B "$folder" -DCMAKE_BUILD_TYPE=Release -DACD_ADDON=OFF -DACD_TESTS=OFF \
  -DACD_GPU_CHECK=ON -DACD_CUDA=on ${wheels:+-DACD_CUDA_WHEELS=$wheels}
part build 300 cmake --build "$folder" --parallel "$(nproc)"
check=$folder/acd_gpu_check
part ops 90 "$check" ops
part model 60 "$check" model
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda*/bin/compute-sanitizer /opt/nvidia/*/compute-sanitizer 2>/dev/null | head -n 1)
if [ -n "$sanitizer" ]; then
  part sanitizer 120 "$sanitizer" --tool memcheck --leak-check full --error-exitcode 99 "$check" tiny
  part racecheck 120 "$sanitizer" --tool racecheck --error-exitcode 99 "$check" tiny
else
  echo "compute-sanitizer is not installed: not run"
fi
part bench 150 "$check" bench
part torch 180 python3 scripts/gpu-check.py measure
python3 scripts/gpu-check.py table "$folder" | tee "$folder/table.md"
exit $failed
