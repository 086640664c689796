"""What this build is; build.py writes this file anew for every version it builds."""

from typing import Final

VERSION: Final[str] = "1.1.0"
# The newest migration this build carries, and the oldest schema it works on.
SCHEMA: Final[str] = "0002"
# "" for a sound build; "unhealthy" answers 500 on /health; "crash" exits five seconds after the start.
FAULT: Final[str] = ""
