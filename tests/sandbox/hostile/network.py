"""Tries to reach the port of this machine's loopback, and the abstract socket, that it is told on stdin."""

import socket
import sys

port, name = sys.stdin.read().split()


def tries(what, call):
    try:
        call()
        print("REACHED" if "own" not in what else "own", what)
    except OSError as error:
        print(what, error.errno)


tries("tcp", lambda: socket.create_connection(("127.0.0.1", int(port)), timeout=2))
tries("tcp6", lambda: socket.create_connection(("::1", int(port)), timeout=2))
tries("udp6, its own at best", lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).connect(("::1", int(port))))
unix = socket.socket(socket.AF_UNIX)
tries("abstract", lambda: unix.connect("\0" + name))
tries("names", lambda: socket.getaddrinfo("localhost.invalid", 80))
print("interfaces", [name for _, name in socket.if_nameindex()])
