"""Runs a command in a pseudo-terminal and types into it, for terminal.test.js.

    terminal.py STEPS COMMAND...

STEPS is JSON: a list of [text to wait for, what to type then]. Prints JSON: the terminal's output, and the exit code.
"""
import json
import os
import pty
import select
import signal
import sys
import time

steps, command = json.loads(sys.argv[1]), sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(command[0], command)
shown, seen, end = "", 0, time.time() + 60
while time.time() < end:
    while steps and steps[0][0] in shown[seen:]:
        seen = shown.index(steps[0][0], seen) + len(steps[0][0])
        os.write(terminal, steps.pop(0)[1].encode())
    if select.select([terminal], [], [], 0.2)[0]:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # on Linux this is the end of the output
            piece = b""
        if not piece:
            break
        shown += piece.decode(errors="replace")
else:
    os.kill(pid, signal.SIGKILL)
print(json.dumps({"shown": shown, "code": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}))
