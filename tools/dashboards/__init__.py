"""The dashboards of this collection as code: `make dashboards` writes the JSON that the role grafana installs."""

import warnings

# The library prefers Grafana 12's second schema; the first one is read by every Grafana there is.
warnings.filterwarnings("ignore", message="Prefer using dashboardv2", category=DeprecationWarning)
