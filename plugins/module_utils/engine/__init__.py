# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The release engine: everything that changes a release on a host.

Standard library only, no Ansible import, relative imports: the same package runs inside the
module and, bundled as a zipapp, as /opt/plano/bin/plano on the host.
"""
