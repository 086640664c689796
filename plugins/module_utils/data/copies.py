# Copyright: (c) 2026, plano.delivery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables in which the database keeps its checkpoints, its restores and what was erased for privacy. The files are the truth after a restore."""

from __future__ import annotations

DDL = """
CREATE TABLE IF NOT EXISTS plano_delivery.checkpoint (
    name text PRIMARY KEY,
    taken timestamptz NOT NULL,
    folder text NOT NULL,
    protected boolean NOT NULL DEFAULT false,
    manifest jsonb NOT NULL
);
COMMENT ON TABLE plano_delivery.checkpoint IS 'Named copies of schemas; their files and the manifest that counts are in the folder';
CREATE TABLE IF NOT EXISTS plano_delivery.restore (
    suffix text PRIMARY KEY CHECK (suffix ~ '^[0-9a-f]{8}$'),
    run text NOT NULL,
    checkpoint text NOT NULL,
    state text NOT NULL CHECK (state IN ('loading', 'kept')),
    scratch text,
    schemas jsonb NOT NULL DEFAULT '{}',
    tables jsonb NOT NULL DEFAULT '[]',
    began timestamptz NOT NULL DEFAULT clock_timestamp(),
    swapped timestamptz
);
COMMENT ON TABLE plano_delivery.restore IS 'What a restore makes beside the live schemas (loading) and which schemas it has put aside (kept)';
CREATE TABLE IF NOT EXISTS plano_delivery.erasure (
    "table" text NOT NULL,
    key jsonb NOT NULL CHECK (jsonb_typeof(key) = 'object' AND key <> '{}'),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY ("table", key)
);
COMMENT ON TABLE plano_delivery.erasure IS 'Rows that were erased for privacy, by their keys: no restore brings them back';
"""
