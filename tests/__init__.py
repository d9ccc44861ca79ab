"""Tests, and the harness and demo that share their parts."""

import os

# What is tested never reads the configuration of this machine, whoever starts it.
os.environ["PLUGIN_MIRROR_CONFIG"] = os.devnull
