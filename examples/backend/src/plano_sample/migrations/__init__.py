"""The schema, one revision after another: forward only, expand first and contract later."""
