"""Deliveries for each second from a filled queue. In: the machine and Postfix. Out: for each kind of mail, program
and concurrency one rate for each round. All programs take turns, in reverse order in each second round, so that a machine
that grows slower or faster does so for all alike."""

import time

from postgresql import FLOORS, WAYS
from postfix import CONCURRENCIES
from users import JUNK, forged

KINDS = ["junk", "refused", "open", "sudo"]
# The kinds that are executed are named after how they run.
RUN_VIA = ["open", "sudo"]

# How many mails of a kind are executed in a batch at each concurrency, and what part of a batch a program gets: so that
# each takes about as long, and no batch is over before it is under way.
EXECUTED = {1: 60, 2: 120, 8: 240, 32: 320}
SHARES = {"true": 1, "mailsudo": 1, "floor": 1, "procmail": 0.25, "shell": 0.25, "python": 0.15} | dict.fromkeys([*WAYS, *FLOORS], 1)


def contests(rivals):
    """What is measured: (kind, program)."""
    found = [("true", "true")]
    for kind in KINDS:
        via = kind if kind in RUN_VIA else "sudo"
        for rival in rivals:
            name, _, its_via = rival.partition("-")
            # What is not executed needs no sudo, no reply and no floor.
            if its_via != via or (kind not in RUN_VIA and name in ["floor", "floorsmtp", "mailsudosmtp"]):
                continue
            found.append((kind, rival))
    return found


def size(rival, kind, most, count):
    name = rival.partition("-")[0].removesuffix("smtp")
    share = 1 if (name, kind) == ("procmail", "junk") else SHARES[name]
    whole = min(count, EXECUTED[most]) if kind in RUN_VIA else count
    return min(count, max(int(whole * share), 2 * most, 12))


def measure(machine, postfix, rivals, until, say, all_contests=None):
    """Takes whole rounds, two at least, as many as end before the time `until` if each takes as long as the one before."""
    good = [user.mail(user.block("nothing")) for user in machine.users]
    bad = [forged(mail) for mail in good]
    junk = [JUNK] * len(good)
    mails = {"true": junk, "junk": junk, "refused": bad, "open": good, "sudo": good}
    rates = {}
    all_contests = all_contests or contests(rivals)
    turn = took = 0
    while turn < 2 or time.monotonic() + took < until:
        begun = time.monotonic()
        say(f"queue: round {turn + 1}")
        for most in CONCURRENCIES:
            for kind, rival in all_contests if turn % 2 == 0 else reversed(all_contests):
                machine.forget()
                batch = mails[kind][: size(rival, kind, most, len(good))]
                seconds, replies = postfix.deliver(rival, most, batch)
                if replies != (len(batch) if kind in RUN_VIA else 0):
                    raise SystemExit(f"bench: {rival} answered {replies} of {len(batch)} {kind} mails")
                rates.setdefault(f"{kind} {rival} {most}", []).append(len(batch) / seconds)
        turn += 1
        took = time.monotonic() - begun
    return rates
