"""A pipeline framework in miniature, as the producers of trace records are: steps in order, ports injected from outside,
a boundary where messages come in and go out. It knows the agent only as a socket that takes lines.

Steps are traced; what is injected into a step is not. An adapter may stand on either side.
"""
import json
import socket

TS = "2026-01-21T10:00:00Z"


class Kernel:
    """Runs messages through steps; each step is a callable (message, context) -> list of messages."""

    def __init__(self, socket_path, scenario):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(socket_path)
        self.scenario = scenario

    def emit(self, **record):
        self.socket.sendall(json.dumps({"stream": "trace", "scenario": self.scenario, **record}).encode() + b"\n")

    def boundary(self, kind, trace_id, step_name, message):
        self.emit(kind=kind, trace_id=trace_id, step_name=step_name, t_enter=TS, t_exit=TS,
                  msg_in={"type_name": type(message).__name__}, status="ok", error=None)

    def run(self, trace_id, message, context, steps, ingress=None, egress=None):
        """`egress` names (port, producing step): the port sees what that step put out."""
        if ingress:
            self.boundary("ingress", trace_id, ingress, message)
        for index, (name, step) in enumerate(steps):
            before = dict(context)
            error, out = None, []
            try:
                out = step(message, context)
            except ValueError as fault:
                error = {"type": type(fault).__name__, "message": str(fault), "where": name, "stack": None}
            self.emit(trace_id=trace_id, step_index=index, step_name=name, work_index=0, t_enter=TS, t_exit=TS, duration_ms=0.1,
                      msg_in={"type_name": type(message).__name__}, msg_out=[{"type_name": type(m).__name__} for m in out],
                      msg_out_count=len(out), ctx_before=before, ctx_after=dict(context), ctx_diff=None,
                      status="error" if error else "ok", error=error)
            if egress and egress[1] == name:
                for m in out:
                    self.boundary("egress", trace_id, egress[0], m)
            if error or not out:
                return
            message = out[0]

    def close(self):
        """Half-close, and wait until the agent has everything."""
        self.socket.shutdown(socket.SHUT_WR)
        while self.socket.recv(4096):
            pass
        self.socket.close()
