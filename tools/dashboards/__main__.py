"""Write every dashboard to roles/grafana/files/dashboards, and take away what is none any more.

python -m dashboards [DIR]
"""

from __future__ import annotations

import sys
from pathlib import Path

from .boards import write

DASHBOARDS = Path(__file__).resolve().parents[2] / "roles" / "grafana" / "files" / "dashboards"

if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DASHBOARDS
    print(f"{len(write(folder))} dashboards in {folder}")
