#!/bin/sh
# A wheel in an environment of its own, outside any clone: it runs an experiment of a real model and writes the page.
#   sh tests/try_wheel.sh WHEEL EXPERIMENT
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp "$2" "$folder/demo.yaml"
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip --disable-pip-version-check install --quiet "tokenauction-cli[demo,report] @ file://$1"
venv/bin/tokauction doctor
venv/bin/tokauction run demo.yaml -S sweep.seeds=2
page=$(venv/bin/tokauction report demo.yaml -S sweep.seeds=2)
test -s "$page"
echo "The wheel runs: $1"
