"""What was measured, as Markdown. In: the measures and the judged targets. Out: docs/performance.md and README's part."""

import statistics
from pathlib import Path

import ledgers
from plots import KINDS, way
from tables import figure, table
from targets import CONCURRENCIES, rate, reasons

RIVALS = {"floor": "floor", "mailsudo": "mailsudo", "procmail": "procmail + shell", "shell": "shell", "python": "Python"}
EXECUTED = ["open", "sudo"]
MIB = 1 << 20


def milliseconds(measures, name):
    return 1000 * statistics.median(measures["oneshot"][name])


def size(number):
    for unit, name in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]:
        if number >= unit:
            return f"{number / unit:g} {name}"
    return f"{number} B"


def machine(measures):
    about = measures["machine"]
    versions = ", ".join(f"{name} {version.split()[-1]}" for name, version in about["versions"].items())
    quick = " **Quick, with few rounds: for trying the bench out, not for figures.**" if about["quick"] else ""
    # Other work shares cores and disk unevenly: then only the counts can be trusted.
    others = about["others"]
    busy = " **Ratios in time are not to be relied on: the machine had other work.**" if others > 0.1 else ""
    return (
        f"Measured {about['when']} in {about['took'] // 60 + 1} minutes: {about['cores']} cores ({about['cpu']}), Linux "
        f"{about['kernel']}, queue, ledgers and programs on {about['disk']}; other work took {100 * others:.0f} % of the cores. "
        f"{versions}.{busy}{quick}\n"
    )


def verdicts(judged):
    rows = [[target.what, target.wanted, target.measured, "met" if target.met else "**missed**"] for target in judged]
    return table(["target", "wanted", "measured", ""], rows)


def deliveries(measures):
    text = ""
    for kind, title in KINDS.items():
        rows = []
        for rival, name in RIVALS.items():
            if rival == "floor" and kind not in EXECUTED:
                name = "/bin/true"
            rows.append([name, *[figure(rate(measures, *way(rival, kind), most)) for most in CONCURRENCIES]])
            smtp = f"{rival}smtp"
            if kind in EXECUTED and f"{kind} {smtp}-{kind} 1" in measures["queue"]:
                each = [figure(rate(measures, *way(smtp, kind), most)) for most in CONCURRENCIES]
                rows.append([f"{name}, reply by SMTP", *each])
        text += f"\n{title}:\n\n" + table(["deliveries a second, at a time:", *CONCURRENCIES], rows)
    return text


def one_message(measures):
    rows = []
    floor = milliseconds(measures, "true true")
    for kind, title in KINDS.items():
        cells = [milliseconds(measures, " ".join(way(rival, kind))) for rival in RIVALS]
        rows.append([title, *[figure(cell) for cell in cells], f"{cells[1] / floor:.1f}"])
    head = ["milliseconds", "floor (/bin/true)", *list(RIVALS.values())[1:], "mailsudo against /bin/true"]
    empty = figure(milliseconds(measures, "true empty"))
    faults = measures["faults"]
    return table(head, rows) + (
        f"\nA C program that does nothing, linked as mailsudo is, takes {empty} ms. `/bin/true` has {faults['true']} page faults more than "
        f"that program, mailsudo {faults['junk']} for a mail that is no request (decision "
        "[0057](decisions/0057-functions-in-the-order-of-a-delivery.md)).\n"
    )


def instructions(measures):
    counts = measures["instructions"]
    names = KINDS | {"duplicate": "the same mail again"}
    rows = [[name, f"{counts[kind] / 1e6:.3f}"] for kind, name in names.items()]
    rows.append(["the ledger of an executed request alone, in C", f"{counts['ledger'] / 1e6:.3f}"])
    text = table(["million instructions of mailsudo itself", ""], rows)
    if counts["executed_ended"] != "exit-0":
        text += (
            f"\nvalgrind {measures['machine']['versions']['valgrind']} knows no pidfd_open(2), so under it a run ends as "
            f"`{counts['executed_ended']}` and not as `exit-0`: the figures of executed requests are upper bounds.\n"
        )
    return text


def calls(measures):
    rows = []
    titles = {
        "junk": "not a request", "refused": "refused", "open print": "executed, reply to standard output",
        "sudo print": "executed with sudo, reply to standard output", "open sendmail": "executed, sendmail",
        "sudo sendmail": "executed with sudo, sendmail", "open smtp": "executed, SMTP",
        "sudo smtp": "executed with sudo, SMTP",
    }
    for name, title in titles.items():
        if name in measures["calls"]:
            found = measures["calls"][name]
            syncs = f"{found['syncs_median']:g} ({found['syncs_mean']:g})"
            theirs = [found["children"], found["children_total"], found["children_syncs"]]
            rows.append([title, found["own_total"], syncs, *theirs])
    head = ["", "system calls", "fsyncs: usual (mean)", "child processes and threads", "their calls", "their fsyncs"]
    why = reasons()
    own = measures["calls"]["sudo sendmail"]["own"]
    each = [[f"`{name}`", count, why.get(name, "**none**")] for name, count in own.items()]
    return f"{table(head, rows)}\nEach of mailsudo's own, executed with sudo and sendmail (bench/syscalls):\n\n" + table(
        ["call", "times", "why"], each
    ).replace("| --- | ---: | ---: |", "| --- | ---: | --- |")


def transports(measures):
    rows = []
    names = {"print": "standard output", "": "sendmail", "smtp": "SMTP"}
    for suffix, title in names.items():
        if f"sudo mailsudo{suffix}-sudo" in measures["oneshot"]:
            ways = [f"{kind} {rival}{suffix}-{kind}" for kind in EXECUTED for rival in ["mailsudo", "floor"]]
            cells = [milliseconds(measures, name) for name in ways]
            rows.append([title, *[figure(cell) for cell in cells]])
    ledger = figure(milliseconds(measures, "open ledger"))
    return table(["milliseconds, reply by", "mailsudo", "floor", "mailsudo, with sudo", "floor, with sudo"], rows) + (
        f"\nA C program that writes into the same ledger what an executed request needs there, with the same SQLite, the fewest "
        f"statements, and nothing else (bench/rivals/ledger.c), takes {ledger} ms: it opens the ledger and makes three transactions.\n"
    )


def memory(measures):
    curves = measures["growth"]
    rows = [[f"a command's output of {size(given)}", f"{peak / MIB:.1f}"] for given, peak in curves["output"]]
    rows += [[f"a mail of {size(given)}", f"{peak / MIB:.1f}"] for given, peak in curves["mail_memory"]]
    return table(["peak memory with", "MiB"], rows)


def growth(measures):
    text = ""
    for name, head in [("names", "users and commands"), ("rows", "ledger rows")]:
        rows = [[f"{given:,}", f"{cost / 1e6:.3f}"] for given, cost in measures["growth"][name]]
        text += table([head, "million instructions"], rows) + f"\n![{head}](performance/{name}.svg)\n\n"
    curves = measures["growth"]["mail"]
    rows = [
        [size(given), f"{junk / 1e6:.3f}", f"{refused / 1e6:.3f}"]
        for (given, junk), (_, refused) in zip(curves["junk"], curves["refused"], strict=True)
    ]
    head = ["a message of", "not a request: million instructions", "refused"]
    return text + table(head, rows) + "\n![message](performance/message.svg)\n\n![memory](performance/memory.svg)\n"


def flood(measures):
    found = measures["flood"]
    rows = []
    quiet = statistics.median(found["quiet"])
    ways = [
        ("on a quiet host", found["quiet"]),
        ("its address has processes of its own", found["own"]["seconds"]),
        ("to the address that is flooded", found["same"]["seconds"]),
    ]
    for what, times in ways:
        middle = statistics.median(times)
        rows.append([what, figure(1000 * middle), figure(1000 * max(times)), f"{middle / quiet:.1f}", len(times)])
    head = ["milliseconds until the answer", "median", "longest", "against a quiet host", "requests"]
    own = found["own"]
    return (
        f"{found['junk']:,} mails without a request are in the queue for one address of the gateway, and "
        f"{own['forged_a_second']:.0f} forged requests a second come in for the same address as a good request. It is timed from its "
        "SMTP session until its reply is at the user's mail server. Two of the gateway's addresses are connected by `mailsudo "
        "postfix install` ([operations.md](operations.md#under-a-flood)). When the last answer came, "
        f"{own['left']:,} mails were still in the queue.\n\n{table(head, rows)}"
    )


def operators(measures):
    found = measures["operators"]
    rows = [[f"`{command}`", f"{seconds:.2f}"] for command, seconds in found["seconds"].items()]
    head = [f"with {found['rows']:,} requests, {found['bytes'] / (1 << 30):.2f} GiB", "seconds"]
    asked = found["asked"]
    names = ", ".join(f"{Path(words[0]).name} {1000 * seconds:.0f}" for words, seconds in asked)
    total = sum(seconds for _, seconds in asked)
    return f"""\
{table(head, rows)}
`check` asks {len(asked)} other programs, several at a time. Each run by itself, they take {total:.2f} seconds together, in
milliseconds: {names}.

"""


def performance(measures, judged):
    does = {True: "runs once, is answered", False: "runs nothing"}
    agreed = "".join(f"- {what}: {does[runs]}\n" for what, runs in measures["agree"])
    return f"""\
<!-- Written by `make bench`; changes here are lost. -->

# Performance

What a delivery costs, compared with other programs for the same work. `make bench` measures all of it in one run and writes this
page; every figure below is shown again by that command. Between machines only ratios mean anything, and the counts:
instructions, system calls, memory.

{machine(measures)}
Compared with (bench/rivals/): `/bin/true`, which reads nothing; the floor of an executed request, a C program that checks
nothing, appends and fsyncs twice, runs the same command through sudo and sends a reply in the same way; and what a
sysadmin would write, in Python, in shell with openssl and oathtool, and procmail in front of that shell script. These three
make the same checks as mailsudo on the same mails. Before anything was measured, each of them did what mailsudo did with:

{agreed}
## Targets

A target in instructions, calls, bytes is a count, and `make bench` fails where one is missed that is not called a goal. A ratio in time is the median
over rounds in which all programs take turns, for 1, 2, 8 and 32 deliveries at a time; it is met where all four are.

{verdicts(judged)}
Why those that are missed are missed, and what was tried: [what takes the time of a delivery](performance-limits.md).

## Deliveries

From a queue that was filled while Postfix's queue manager stood still, until nothing was left in it, replies included; the
request is executed by running `/usr/bin/true`.

![deliveries a second](performance/deliveries.svg)

![deliveries a second, by how many at a time](performance/concurrency.svg)
{deliveries(measures)}
## Under a flood

{flood(measures)}
## Operators' commands

With a ledger in SQLite, the median of five runs. `rare` is a command that 20 requests have, `help` one that none has.

{operators(measures)}
## One message

Without Postfix, from the start of the process to its end; the floor of an executed request is the C program, and replies go
to sendmail.

{one_message(measures)}
{instructions(measures)}
## Sending the reply

{transports(measures)}
## System calls

By strace, means of 12 deliveries in a row. A sync more than usual is the write-ahead log being moved back into
the ledger.

{calls(measures)}
## Memory

Of the process itself, at its peak.

{memory(measures)}
## Growth

{growth(measures)}
## The ledger in PostgreSQL

{ledgers.section(measures)}"""


def readme(measures, most=8):
    rows = []
    for kind, title in KINDS.items():
        cells = [rate(measures, *way(rival, kind), most) for rival in RIVALS]
        rows.append([title, *[figure(cell) for cell in cells]])
    head = [f"deliveries a second, {most} at a time", "floor", *[name for name in list(RIVALS.values())[1:]]]
    about = measures["machine"]
    return f"""\
{table(head, rows)}
![deliveries a second](docs/performance/deliveries.svg)

From a filled queue through Postfix on {about['cores']} cores, {about['when'].partition(' ')[0]}. The floor runs the same
commands and checks nothing; the scripts check what mailsudo checks. [docs/performance.md](docs/performance.md) has the rest.
"""
