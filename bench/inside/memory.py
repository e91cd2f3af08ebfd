"""The peak memory of one process. In: words and a mail. Out: the peak of its resident set, in bytes.

wait4(2) reports the greatest of a process, of what it was before exec(2), and of all its children. /proc/PID/status has the
process's own, but ends with it. So the process is stopped before it ends (ptrace(2), PTRACE_O_TRACEEXIT)."""

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import threading

PTRACE_CONT = 7
PTRACE_SEIZE = 0x4206
PTRACE_O_TRACEEXIT = 0x40
PTRACE_EVENT_EXIT = 6
WALL = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def ptrace(request, pid, data):
    if libc.ptrace(request, pid, None, data) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def feed(pipe, mail):
    # An oversized mail is not read to its end.
    with contextlib.suppress(BrokenPipeError), pipe:
        pipe.write(mail)


def peak(words, mail):
    """Runs `words` on `mail`; it cannot end before the mail does, so it is caught in time."""
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd="/")
    ptrace(PTRACE_SEIZE, process.pid, PTRACE_O_TRACEEXIT)
    feeder = threading.Thread(target=feed, args=(process.stdin, mail))
    feeder.start()
    most = None
    while True:
        _, status = os.waitpid(process.pid, WALL)
        if not os.WIFSTOPPED(status):
            break
        number = os.WSTOPSIG(status)
        if status >> 16 == PTRACE_EVENT_EXIT:
            with open(f"/proc/{process.pid}/status") as file:
                most = int(re.search(r"VmHWM:\s+(\d+) kB", file.read())[1]) * 1024
        ptrace(PTRACE_CONT, process.pid, 0 if number == signal.SIGTRAP else number)
    feeder.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0 or most is None:
        raise SystemExit(f"bench: {words}: exit {process.returncode}")
    return most
