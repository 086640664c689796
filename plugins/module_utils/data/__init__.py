# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Client data in PostgreSQL: checkpoints, guarded imports, the action log, and the undo of one run. Plain SQL, no superuser, no extension."""
