#!/bin/sh
# syslog-ng beside the agent: every line parsed as JSON, routed by its stream, written as it came (Debian:
# syslog-ng-core; it cannot be installed together with rsyslog).
#   ./dev bench --case trace-routed --peer 'syslog-ng=bench/peers/syslog-ng.sh {socket} {file} {dir}'
# The first argument is the path of a Unix socket or, for --case one-tcp and {tcp}, a port. A fourth one "opaque": nothing
# is parsed, and every line goes to the file.
set -eu
input=$1 file=$2 dir=$3 mode=${4:-json}
case $input in
  /*) source="unix-stream(\"$input\" flags(no-parse) log-iw-size(10000) max-connections(100))" ;;
  *) source="network(ip(127.0.0.1) port($input) transport(tcp) flags(no-parse) log-iw-size(10000) log-fetch-limit(1000))" ;;
esac
check='parser { json-parser(prefix(".j.")); }; filter { "${.j.stream}" eq "trace" or "${.j.stream}" eq "log" or "${.j.stream}" eq "telemetry" };'
[ "$mode" = opaque ] && check=
cat >"$dir/syslog-ng.conf" <<TEXT
@version: 3.38
options { log-msg-size(262144); flush-lines(1000); stats-freq(0); keep-hostname(yes); use-dns(no); };
log {
  source { $source; };
  $check
  destination { file("$file" template("\${MSG}\n") log-fifo-size(200000)); };
  flags(flow-control);
};
TEXT
exec ${SYSLOG_NG:-syslog-ng} -F --no-caps -f "$dir/syslog-ng.conf" -R "$dir/persist" -p "$dir/pid" -c "$dir/ctl"
