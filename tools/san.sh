#!/usr/bin/env bash
# The rooms and their unit, vector and flow tests under ASan and UBSan with clang.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build
cmake --preset san >build/san.log 2>&1 || { cat build/san.log; exit 1; }
cmake --build --preset san
ctest --preset san -L 'unit|vector|flow'
