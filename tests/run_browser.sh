#!/usr/bin/env bash
# run_browser.sh: looks at pages that the tools write in headless Chromium. Installs Debian's Chromium and Selenium where
# that can be; where it cannot, it says so and checks nothing.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
packages=(chromium chromium-driver python3-selenium)
python=/usr/bin/python3  # the one that Debian's packages are for

if ! command -v chromium >/dev/null || ! "$python" -c "import selenium" 2>/dev/null; then
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null ||
    ! { DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" ||
        { apt-get update -qq &&
          DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"; }; } \
      >/dev/null 2>&1; then
    echo "run_browser.sh: skipped: no Chromium can be had here (apt-get install ${packages[*]})"
    exit 0
  fi
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

check() {
  local status=0 what=$1
  shift
  "$python" "$root/tests/browser/check_$what.py" "$@" || status=$?
  [ $status -eq 77 ] || return $status  # it says why nothing can be checked
}

cd "$work"
"$root/flow" train --model multiscale --batch-size 16 --max-steps 3 --out images >/dev/null
check report images/report.html
"$root/flow" train --model moons --max-steps 20 --out plane >/dev/null
check report plane/report.html
"$root/flow" explore --help >/dev/null  # builds it
"$root/flow" score --help >/dev/null
check explore "$root/build/bin/flowsmith" "$root/data/weights/multiscale.safetensors" --score
check explore "$root/build/bin/flowsmith" plane/best.safetensors
