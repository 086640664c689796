# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""moto's server, with what AWS does and moto 5.2.5 does not: each gap is a shim with a name, and none of them is anywhere but in the tests."""

from __future__ import annotations

import sys

from moto.server import main

if __name__ == "__main__":
    main(sys.argv[1:])
