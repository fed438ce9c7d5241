#!/bin/sh
# The agent with its journal on disk, beside the one in memory.
#   ./dev bench --case log --case trace-routed --peer 'disk=bench/peers/weir-disk.sh {socket} {file} {dir}'
set -eu
socket=$1 file=$2 dir=$3
rm -rf "$dir/data"
mkdir -p "$dir/data"
cat >"$dir/disk.yaml" <<TEXT
data_dir: $dir/data
listen: {local: {type: unix, path: $socket}}
control: {path: $dir/control.sock}
journal: {type: disk, max_bytes: 4GiB}
streams: {trace: {sinks: [out], context_diff: {mode: none}}, log: {sinks: [out]}, telemetry: {sinks: [out]}, monitoring: {sinks: [out]}}
sinks: {out: {type: file, path: $file}}
TEXT
exec "${WEIR:-build/release/weir}" agent --config "$dir/disk.yaml"
