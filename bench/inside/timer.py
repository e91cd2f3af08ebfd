"""Times runs of programs, in turns. In, as JSON on standard input: how many turns, and the jobs: their words, their standard
input, what is run before each of them untimed, and in which turns they come. Out: the seconds of each run, by name."""

import json
import os
import sys
import time

QUIET = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0), (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0)]
# As pipe(8) has it.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C"}


def run(words, mail="/dev/null"):
    start = time.perf_counter()
    actions = [(os.POSIX_SPAWN_OPEN, 0, mail, os.O_RDONLY, 0), *QUIET]
    pid = os.posix_spawn(words[0], words, ENVIRONMENT, file_actions=actions)
    _, status = os.waitpid(pid, 0)
    took = time.perf_counter() - start
    if status != 0:
        sys.exit(f"timer: {words} ended with {os.waitstatus_to_exitcode(status)}")
    return took


def main():
    turns, jobs = json.load(sys.stdin)
    os.umask(0o077)
    times = {job["name"]: [] for job in jobs}
    # Two runs first, for the page cache and for a sudo that has not run yet.
    for turn in range(-2 * max(job["every"] for job in jobs), turns):
        # The jobs that come in each tenth turn take turns, too.
        for job in jobs if (turn + turn // 10) % 2 == 0 else reversed(jobs):
            if turn % job["every"] != 0:
                continue
            if job["before"]:
                run(job["before"])
            took = run(job["words"], job["mail"])
            if turn >= 0:
                times[job["name"]].append(took)
    json.dump(times, sys.stdout)


main()
