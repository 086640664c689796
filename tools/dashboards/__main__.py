"""Write every dashboard to roles/grafana/files/dashboards, and tell of their panels in docs/dashboards.md."""

from __future__ import annotations

from pathlib import Path

from .boards import documented, write

ROOT = Path(__file__).resolve().parents[2]
DASHBOARDS = ROOT / "roles" / "grafana" / "files" / "dashboards"
PAGE = ROOT / "docs" / "dashboards.md"

if __name__ == "__main__":
    print(f"{len(write(DASHBOARDS))} dashboards in {DASHBOARDS.relative_to(ROOT)}")
    PAGE.write_text(documented(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
