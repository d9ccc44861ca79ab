"""Tests, and the harness and demo that share their parts."""
