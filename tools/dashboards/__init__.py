"""The dashboards of this collection as code: `make dashboards` writes the JSON that the role grafana installs."""
