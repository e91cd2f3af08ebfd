"""report.py MEASURES - writes docs/performance.md, its plots and README's table from what measure.py measured, prints the
targets, and ends with 1 where a counted one is missed."""

import json
import sys
from pathlib import Path

import ledgers
import pages
import plots
import targets

ROOT = Path(__file__).resolve().parent.parent
BEGIN = "<!-- make bench writes from here -->"
END = "<!-- to here -->"


def main(path):
    measures = json.loads(Path(path).read_text())
    judged = targets.all_targets(measures, ledgers.targets)
    width = max(len(target.what) for target in judged)
    for target in judged:
        verdict = "met" if target.met else "MISSED" if target.counted else "missed"
        print(f"{verdict:7} {target.what:{width}}  {target.wanted:15} {target.measured}")
    plots.all_plots(measures, ROOT / "docs/performance")
    (ROOT / "docs/performance.md").write_text(pages.performance(measures, judged))
    readme = ROOT / "README.md"
    before, rest = readme.read_text().split(BEGIN)
    after = rest.split(END)[1]
    readme.write_text(f"{before}{BEGIN}\n{pages.readme(measures)}{END}{after}")
    missed = [target.what for target in judged if target.counted and not target.met]
    if missed:
        sys.exit(f"bench: counted targets missed: {'; '.join(missed)}")


main(sys.argv[1])
