"""The verdict as a page that any browser shows, and any printer prints."""

from html import escape

from landscape_lib.verdict.judge import Verdict

MARKS = {"good": "✓", "note": "•", "warning": "!", "unknown": "?"}
COUNTED = {"note": "notes", "warning": "warnings"}  # states that are nouns, when there are several
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
STYLE = """
:root { color-scheme: light dark;
  --good: #1a7f37; --note: #0b62b5; --warning: #b42318; --unknown: #667085; }
@media (prefers-color-scheme: dark) {
  :root { --good: #57c273; --note: #6cb2ff; --warning: #ff8a7a; --unknown: #9aa4b2; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
section { border-left: 4px solid var(--c); padding: 0.1rem 0 0.1rem 1rem; margin: 1.2rem 0;
  break-inside: avoid; }
section h3 { margin: 0; font-size: 1rem; } section p { margin: 0.3rem 0; }
.state { color: var(--c); } .why { opacity: 0.75; font-size: 0.9rem; }
.good { --c: var(--good); } .note { --c: var(--note); }
.warning { --c: var(--warning); } .unknown { --c: var(--unknown); }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
th, td { text-align: left; vertical-align: top; padding: 0.4rem 0.8rem 0.4rem 0;
  border-top: 1px solid #8884; }
td.value { white-space: nowrap; font-variant-numeric: tabular-nums; }
td small { display: block; opacity: 0.75; }
"""


def page(verdict: Verdict) -> str:
    """Return a verdict as one HTML page without scripts, links or other files."""
    name = escape(str(verdict["run"]))
    states = [check["state"] for check in verdict["checks"]]
    counts = [_count(states.count(state), state) for state in MARKS]
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>Verdict: {name}</title><style>{STYLE}</style></head><body>",
            f"<h1>Is this picture right? {name}</h1><p>{', '.join(counts)}.</p>",
            *map(_check, verdict["checks"]),
            "<h2>Numbers people quote</h2><table><thead><tr><th>number</th><th>value</th>"
            "<th>definition and source</th></tr></thead><tbody>",
            *map(_number, verdict["numbers"]),
            "</tbody></table></body></html>\n",
        ]
    )


def _count(number: int, state: str) -> str:
    return f"{number} {state if number == 1 else COUNTED.get(state, state)}"


def _check(check: Verdict) -> str:
    told = {name: escape(str(value)) for name, value in check.items()}
    do = f"<p><strong>To do:</strong> {told['do']}</p>" if told["do"] else ""
    return (
        f'<section class="{told["state"]}" id="{told["id"]}"><h3><span class="state">'
        f"{MARKS[check['state']]} {told['state']}</span> {told['title']}</h3>"
        f'<p>{told["found"]}</p><p class="why">{told["why"]}</p>{do}</section>'
    )


def _number(number: Verdict) -> str:
    told = {name: escape(str(value)) for name, value in number.items()}
    value = "not measured" if number["value"] is None else f"{number['value']:.6g} {told['units']}"
    of = f"<small>{told['key']}</small>" if number["key"] else ""
    return (
        f'<tr><td>{told["name"]}{of}</td><td class="value">{value}</td>'
        f"<td>{told['definition']}<small>{told['source']}</small></td></tr>"
    )
