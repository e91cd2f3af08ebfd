"""Measures as SVG, drawn by gnuplot on white, so that they can be read on dark and on light pages. In: the measures and a
folder. Out: the plots in it."""

import subprocess

from targets import CONCURRENCIES, rate

# Colours that are told apart by most colour-blind eyes (Okabe and Ito).
COLOURS = {
    "floor": "#999999",
    "mailsudo": "#0072b2",
    "procmail": "#56b4e9",
    "shell": "#e69f00",
    "python": "#d55e00",
}
NAMES = {
    "floor": "floor, checks nothing",
    "mailsudo": "mailsudo",
    "procmail": "procmail and shell",
    "shell": "shell",
    "python": "Python",
}
KINDS = {"junk": "not a request", "refused": "refused", "open": "executed", "sudo": "executed with sudo"}
HEAD = """\
set terminal svg size {width},{height} font "sans-serif,13" background rgb "white"
set output "{path}"
set border 3 lc rgb "#555555"
set tics nomirror
set grid ytics lc rgb "#dddddd" lt 1
set key above horizontal
"""


def draw(path, script, width=760, height=400):
    text = HEAD.format(path=path, width=width, height=height) + script
    done = subprocess.run(["gnuplot"], input=text, text=True, capture_output=True, check=False)
    if done.returncode != 0 or done.stderr:
        raise SystemExit(f"bench: gnuplot: {done.stderr}")
    # A fixed place for what gnuplot would name after itself and the day.
    lines = [line.rstrip() for line in path.read_text().splitlines()]
    path.write_text("\n".join(line for line in lines if not line.lstrip().startswith("<!--")) + "\n")


def way(rival, kind):
    """The measured program for a name and a kind; the floor of what is not executed is /bin/true."""
    if kind in ["junk", "refused"]:
        return ("true", "true") if rival == "floor" else (kind, f"{rival}-sudo")
    return kind, f"{rival}-{kind}"


def deliveries(measures, path, most=8):
    rows = []
    for kind, name in KINDS.items():
        cells = [f"{rate(measures, *way(rival, kind), most):.2f}" for rival in NAMES]
        rows.append(f'"{name}" {" ".join(cells)}')
    bars = ", ".join(
        f'$data using {column}:xtic(1) title "{NAMES[rival]}" lc rgb "{COLOURS[rival]}"'
        for column, rival in enumerate(NAMES, 2)
    )
    draw(path, f"""\
$data << END
{chr(10).join(rows)}
END
set style data histograms
set style histogram clustered gap 1
set style fill solid
set boxwidth 0.9
set logscale y
set ylabel "deliveries a second, {most} at a time"
plot {bars}
""")


def concurrency(measures, path):
    lines = {
        "/bin/true": ("true", "true", "#999999", 1),
        "mailsudo: not a request": ("junk", "mailsudo-sudo", "#56b4e9", 1),
        "mailsudo: refused": ("refused", "mailsudo-sudo", "#0072b2", 1),
        "floor: executed with sudo": ("sudo", "floor-sudo", "#999999", 2),
        "mailsudo: executed with sudo": ("sudo", "mailsudo-sudo", "#009e73", 1),
        "Python: executed with sudo": ("sudo", "python-sudo", "#d55e00", 1),
    }
    curves = [
        (title, colour, dash, [[most, rate(measures, kind, rival, most)] for most in CONCURRENCIES])
        for title, (kind, rival, colour, dash) in lines.items()
    ]
    more = "set xtics (1, 2, 8, 32)\nset xrange [1:32]"
    lined(path, curves, "deliveries at a time", "deliveries a second", more)


def lined(path, curves, across, up, more="", scales="xy", height=400):
    blocks, plots = [], []
    for number, (title, colour, dash, points) in enumerate(curves):
        rows = "\n".join(f"{x} {y}" for x, y in points)
        blocks.append(f"$d{number} << END\n{rows}\nEND\n")
        plots.append(
            f'$d{number} using 1:2 with linespoints pt 7 ps 0.6 lw 2 dt {dash} lc rgb "{colour}" title "{title}"'
        )
    logs = "".join(f"set logscale {axis}\n" for axis in scales)
    script = f'{"".join(blocks)}{logs}set xlabel "{across}"\nset ylabel "{up}"\n{more}\nplot {", ".join(plots)}\n'
    draw(path, script, height=height)


def growth(measures, folder):
    blue, orange = "#0072b2", "#e69f00"
    curves = measures["growth"]

    def millions(curve):
        return [[size, cost / 1e6] for size, cost in curve]

    def mebibytes(curve):
        return [[size, cost / (1 << 20)] for size, cost in curve]

    names = [("executed request", blue, 1, millions(curves["names"]))]
    lined(folder / "names.svg", names, "users and commands", "million instructions", "set yrange [0:]", "x", 300)
    # A logarithm has no place for no rows at all: they stand at the left edge.
    rows = [("executed request", blue, 1, [[max(size, 10), cost] for size, cost in millions(curves["rows"])])]
    ticks = '"0" 10, "1,000" 1000, "100,000" 100000, "1 million" 1000000, "5 million" 5000000'
    more = f"set yrange [0:]\nset xtics ({ticks})"
    lined(folder / "rows.svg", rows, "rows on the ledger", "million instructions", more, "x", 300)
    mail = [
        ("not a request", blue, 1, millions(curves["mail"]["junk"])),
        ("refused", orange, 1, millions(curves["mail"]["refused"])),
    ]
    more = 'set xtics ("1 KiB" 1024, "16 KiB" 16384, "256 KiB" 262144, "1 MiB" 1048576, "25 MiB" 26214400)'
    lined(folder / "message.svg", mail, "size of the message", "million instructions", more, "xy", 300)
    memory = [
        ("with the command's output", blue, 1, mebibytes(curves["output"])),
        ("with the message", orange, 1, mebibytes(curves["mail_memory"])),
    ]
    sizes = '"1 KiB" 1024, "64 KiB" 65536, "1 MiB" 1048576, "64 MiB" 67108864, "1 GiB" 1073741824'
    more = f"set yrange [0:9]\nset xtics ({sizes})"
    lined(folder / "memory.svg", memory, "size", "peak memory in MiB", more, "x", 300)


def all_plots(measures, folder):
    folder.mkdir(parents=True, exist_ok=True)
    deliveries(measures, folder / "deliveries.svg")
    concurrency(measures, folder / "concurrency.svg")
    growth(measures, folder)
