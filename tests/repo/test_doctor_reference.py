"""docs/doctor.md tells of every finding of the doctor, and of no other."""

from __future__ import annotations

import re
from pathlib import Path

from ipsecmon.agent.doctor import KINDS

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs" / "doctor.md").read_text()


def sections() -> dict[str, str]:
    text = REFERENCE.partition("## How each was tried")[0]
    parts = re.split(r"^### `([a-z-]+)`$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def test_every_kind_of_finding_is_documented_and_no_other() -> None:
    assert set(sections()) == set(KINDS)


def test_each_section_says_what_it_falsifies_and_how_to_mend_it() -> None:
    for kind, text in sections().items():
        assert "- **Falsifies**: " in text and "- **Mend**: " in text, kind


def test_how_each_kind_was_tried_is_said() -> None:
    tried = REFERENCE.partition("## How each was tried")[2]

    assert set(re.findall(r"`([a-z_-]+)`", tried)) - {"rmem_max"} == set(KINDS)
