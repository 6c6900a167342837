"""Names out of a stranger's file are text on every page: no markup, no link, no request."""

from pathlib import Path

import pytest
from docutils.core import publish_parts
from jinja2 import Environment

from landscape_lib.verdict.page import page

REPO = Path(__file__).resolve().parents[1]
CAPTIONS = sorted(
    p for p in (REPO / "workflow/report").glob("*.rst") if "params.key" in p.read_text()
)
EVIL = (
    "a** `x <javascript:alert(1)>`_ **b",
    "<script>alert(1)<script>",
    "https:%2F%2Fexample.com |name| [1]_ :raw:`x` ``y``",
    "$\\frac{1}{ \\ \\\\ *",
)


class Told:
    """What Snakemake hands to a caption."""

    def __init__(self, key):
        self.params = self.wildcards = type("Named", (), {"key": key, "run": "one"})


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # as Snakemake calls it
@pytest.mark.parametrize("caption", CAPTIONS, ids=lambda path: path.stem)
@pytest.mark.parametrize("key", EVIL)
def test_a_metrics_name_is_text_in_the_reports_captions(caption, key):
    """As ``snakemake --report`` renders them: Jinja, then docutils."""
    text = (
        Environment(autoescape=False).from_string(caption.read_text()).render(snakemake=Told(key))
    )
    html = publish_parts(text, writer_name="html", settings_overrides={"report_level": 5})["body"]
    assert "href" not in html
    assert "<script" not in html
    assert "system-message" not in html
    shown = key.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert shown in html.replace("&#64;", "@")


def test_the_verdicts_page_forbids_scripts_and_requests():
    told = dict.fromkeys(("id", "title", "found", "why", "do"), "<script>alert(1)</script>")
    number = dict.fromkeys(("name", "key", "units", "definition", "source"), "<img src=//x>")
    verdict = {
        "run": "</title><script>alert(1)</script>",
        "checks": [{**told, "state": "note"}],
        "numbers": [{**number, "value": 1.0}],
    }
    html = page(verdict)
    assert "Content-Security-Policy\" content=\"default-src 'none'" in html
    assert "<script" not in html
    assert "<img" not in html
    assert "http://" not in html
    assert "https://" not in html
