#!/bin/sh
# rsyslog beside the agent: every line as it is from a socket to a file, nothing checked (Debian: rsyslog).
#   ./dev bench --case trace-routed --peer 'rsyslog=bench/peers/rsyslog.sh {socket} {file} {dir}'
# The first argument is the path of a Unix socket or, for --case one-tcp and {tcp}, a port.
set -eu
input=$1 file=$2 dir=$3
case $input in
  /*) from="path=\"$input\" unlink=\"on\"" ;;
  *) from="port=\"$input\" address=\"127.0.0.1\"" ;;
esac
cat >"$dir/rsyslog.conf" <<TEXT
global(workDirectory="$dir" maxMessageSize="256k" parser.escapeControlCharactersOnReceive="off")
module(load="imptcp" threads="1")
template(name="line" type="string" string="%rawmsg%\n")
ruleset(name="all" queue.type="LinkedList" queue.size="100000" queue.dequeueBatchSize="1024") {
  action(type="omfile" file="$file" template="line" asyncWriting="off" ioBufferSize="256k" flushOnTXEnd="on")
}
input(type="imptcp" $from ruleset="all" supportOctetCountedFraming="off")
TEXT
exec rsyslogd -n -f "$dir/rsyslog.conf" -i "$dir/rsyslog.pid"
