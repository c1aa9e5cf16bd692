"""From named counters to netfilter rules: the model (of no backend), and one renderer a backend.

Standard library only: the privileged helper renders and applies these itself.
"""

from __future__ import annotations
