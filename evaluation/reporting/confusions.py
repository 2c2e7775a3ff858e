"""Which letter was heard for which: the part of GRID's sentences that listeners and models confuse most
(b d e p t v, m n, f s sound alike, and their lips look alike)."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence

from evaluation.scoring.run import ScoredRun
from manifests.grammar import VOCABULARY

METRIC = "slot_letter"
LETTERS = tuple(VOCABULARY[3])
OTHER, NOTHING = "other", "none"
HEARD = (*LETTERS, OTHER, NOTHING)


def letters_heard(item: ScoredRun) -> Counter[tuple[str, str]]:
    """(said, heard) → clips; a word that is no letter of GRID counts as `other`, none as `none`."""
    found: Counter[tuple[str, str]] = Counter()
    for (_, name), score in item.scores.items():
        if name == METRIC and score.status == "ok":
            heard = str(score.details.get("heard", "")) or NOTHING
            said = str(score.details.get("said", ""))
            found[said, heard if heard in HEARD else OTHER] += 1
    return found


def common(counts: Counter[tuple[str, str]], n: int = 10) -> list[tuple[str, str, int]]:
    """(said, heard, clips) of the most frequent confusions."""
    wrong = [(said, heard, k) for (said, heard), k in counts.items() if said != heard]
    return sorted(wrong, key=lambda row: (-row[2], row[0], row[1]))[:n]


def lines(scored: Sequence[ScoredRun]) -> list[tuple[str, str]]:
    """(system, `m→n 3, f→s 2`) of systems whose letters were scored."""
    found = []
    for item in scored:
        counts = letters_heard(item)
        if counts:
            text = ", ".join(f"{said}→{heard} {k}" for said, heard, k in common(counts))
            found.append((item.run.info.name, text or "none confused"))
    return found


def section(scored: Sequence[ScoredRun]) -> str:
    """HTML: a matrix for each system, rows what was said, columns what was heard; "" without any."""
    parts = []
    for item in scored:
        counts = letters_heard(item)
        if not counts:
            continue
        totals: Counter[str] = Counter()
        for (said, _), k in counts.items():
            totals[said] += k
        columns = [h for h in HEARD if h in LETTERS or any(heard == h for _, heard in counts)]
        head = "".join(f'<th scope="col">{html.escape(h)}</th>' for h in columns)
        rows = []
        for said in sorted(totals):
            cells = []
            for heard in columns:
                k = counts[said, heard]
                strength = f' style="--share:{k / totals[said]:.2f}"' if k else ""
                kind = "hit" if said == heard else "miss"
                shown = f'<td class="{kind}"{strength}>{k or ""}</td>'
                cells.append(shown if k else "<td></td>")
            rows.append(f'<tr><th scope="row">{html.escape(said)}</th>{"".join(cells)}</tr>')
        parts.append(
            f"<details><summary>{html.escape(item.run.info.name)}: "
            f"{html.escape(dict(lines([item]))[item.run.info.name])}</summary>"
            '<div class="scroll"><table class="confusion"><thead><tr><th></th>'
            f"{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></details>"
        )
    if not parts:
        return ""
    return (
        "".join(parts)
        + '<p class="caption">Rows: the letter said; columns: the word heard in its place.</p>'
    )
