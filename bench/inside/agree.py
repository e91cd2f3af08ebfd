"""Proof that all programs do the same work: each runs the same good request once and answers it, and runs none of the bad
ones. In: the machine and Postfix. Out: what was asked, or the end of the bench. Nothing is measured before this has passed."""

import time

from machine import MARKS
from users import JUNK, forged


def cases(machine):
    """Mails in the order in which they are delivered: what it is, the mail, whether its command must run."""
    a, b, c, d = machine.users[:4]
    now = int(time.time())
    # The first two seconds of a step, so that the code is the same; of the next, since the ledger is as young as this one.
    step = now // 30 * 30 + 30
    good = a.mail(a.block("mark", step))
    wrong = "000000" if b.code(now) != "000000" else "111111"
    return [
        ("a good request", good, True),
        ("the same mail again", good, False),
        ("another request with the same code", a.mail(a.block("mark", step + 1)), False),
        ("no request", JUNK, False),
        ("a forged mac", forged(b.mail(b.block("mark"))), False),
        ("a wrong code", b.mail(b.block("mark", now, code=wrong)), False),
        ("a stale request", b.mail(b.block("mark", now - 13 * 3600)), False),
        ("a request from the future", b.mail(b.block("mark", now + 3600)), False),
        ("another gateway", b.mail(b.block("mark", gateway="paris")), False),
        ("another user's From", b.mail(b.block("mark"), sender=c.address), False),
        ("two requests in one mail", c.mail(c.block("mark", now) + c.block("mark", now + 30)), False),
        ("a command of another role", c.mail(c.block("forbidden")), False),
        ("no such command", d.mail(d.block("unheard-of")), False),
        ("a good request of the one who was forged", b.mail(b.block("mark", now + 60)), True),
    ]


def agree(machine, postfix, rivals):
    """Delivers every case to every program through the real Postfix."""
    asked = cases(machine)
    for rival in rivals:
        # Both floors check nothing: that is what they are for.
        if rival == "true" or rival.startswith("floor"):
            continue
        machine.forget()
        for what, mail, must_run in asked:
            before = MARKS.read_text().count("\n")
            _, replies = postfix.deliver(rival, 1, [mail])
            ran = MARKS.read_text().count("\n") - before
            if ran != must_run or (must_run and replies != 1):
                raise SystemExit(f"bench: {rival}, {what}: ran {ran} times, {replies} replies")
    return [(what, must_run) for what, _, must_run in asked]
